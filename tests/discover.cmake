# Writes one ctest entry per Catch2 test case of PROGRAM into OUTPUT. Names are sentences and may hold any character;
# those that CMake's lists or Catch2's test patterns read otherwise are set aside or escaped here.
cmake_minimum_required(VERSION 3.25)

# Catch2 version 2 knows the first way, version 3 the second.
execute_process(COMMAND ${PROGRAM} --list-test-names-only OUTPUT_VARIABLE names RESULT_VARIABLE result ERROR_QUIET)
if(names STREQUAL "")
  execute_process(COMMAND ${PROGRAM} --list-tests --verbosity quiet OUTPUT_VARIABLE names RESULT_VARIABLE result)
endif()
if(names STREQUAL "")
  message(FATAL_ERROR "${PROGRAM} lists no tests (result ${result})")
endif()
string(REPLACE ";" "<semicolon>" names "${names}")
string(REPLACE "[" "<open>" names "${names}")
string(REPLACE "]" "<close>" names "${names}")
string(REPLACE "\n" ";" names "${names}")

set(script)
foreach(name IN LISTS names)
  string(STRIP "${name}" name)
  if(name STREQUAL "")
    continue()
  endif()
  string(REPLACE "<semicolon>" ";" name "${name}")
  string(REPLACE "<open>" "[" name "${name}")
  string(REPLACE "<close>" "]" name "${name}")
  string(REGEX REPLACE "([][\\,\"*~])" "\\\\\\1" pattern "${name}")
  string(APPEND script "add_test([=====[${name}]=====] [=====[${PROGRAM}]=====] [=====[${pattern}]=====] --warn NoAssertions)\n"
    "set_tests_properties([=====[${name}]=====] PROPERTIES SKIP_RETURN_CODE 77 ENVIRONMENT DREAM_SKIP_RETURN_CODE=77\n"
    "  FAIL_REGULAR_EXPRESSION \"No test cases matched;No tests ran\")\n")
endforeach()
file(WRITE ${OUTPUT} "${script}")
