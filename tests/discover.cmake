# Writes one ctest entry per Catch2 test case of PROGRAM into OUTPUT, with the label LABEL, or `exhaustive` for cases
# with that tag and for kernels in double. A kernel test, and one with the tag [sizes], stands twice: as it is, and with
# all sizes, thread orders and poisons as `exhaustive`.
# Names are sentences and may hold any character; those that CMake's lists or Catch2's test patterns read otherwise are
# set aside or escaped here.
cmake_minimum_required(VERSION 3.25)

# Sets `result` to the names of the test cases that match the arguments.
function(list_names result)
  # Catch2 version 2 knows the first way, version 3 the second.
  execute_process(COMMAND ${PROGRAM} ${ARGN} --list-test-names-only OUTPUT_VARIABLE names RESULT_VARIABLE code ERROR_QUIET)
  if(names STREQUAL "" AND NOT code EQUAL 0)
    execute_process(COMMAND ${PROGRAM} ${ARGN} --list-tests --verbosity quiet OUTPUT_VARIABLE names)
  endif()
  string(REPLACE ";" "<semicolon>" names "${names}")
  string(REPLACE "[" "<open>" names "${names}")
  string(REPLACE "]" "<close>" names "${names}")
  string(REPLACE "\n" ";" names "${names}")
  set(stripped)
  foreach(name IN LISTS names)
    string(STRIP "${name}" name)
    if(NOT name STREQUAL "")
      list(APPEND stripped "${name}")
    endif()
  endforeach()
  set(${result} "${stripped}" PARENT_SCOPE)
endfunction()

list_names(names)
list_names(exhaustive "[exhaustive]")
list_names(sizes "[sizes]")
if(NOT names)
  message(FATAL_ERROR "${PROGRAM} lists no tests")
endif()

set(script)
# Adds the entry NAME for the cases that match a pattern.
macro(add_entry entry label environment)
  string(APPEND script "add_test([=====[${entry}]=====] [=====[${PROGRAM}]=====] [=====[${pattern}]=====] --warn NoAssertions)\n"
    "set_tests_properties([=====[${entry}]=====] PROPERTIES LABELS ${label} SKIP_RETURN_CODE 77\n"
    "  ENVIRONMENT \"DREAM_SKIP_RETURN_CODE=77${environment}\" FAIL_REGULAR_EXPRESSION \"No test cases matched;No tests ran\")\n")
endmacro()
foreach(case IN LISTS names)
  string(REPLACE "<semicolon>" ";" name "${case}")
  string(REPLACE "<open>" "[" name "${name}")
  string(REPLACE "<close>" "]" name "${name}")
  string(REGEX REPLACE "([][\\,\"*~])" "\\\\\\1" pattern "${name}")
  if("${case}" IN_LIST exhaustive OR (LABEL STREQUAL kernels AND name MATCHES " - double$"))
    add_entry("${name}" exhaustive ";DREAM_TEST_EXHAUSTIVE=1")
  else()
    add_entry("${name}" ${LABEL} "")
    if(LABEL STREQUAL kernels OR "${case}" IN_LIST sizes)
      add_entry("${name}, in every way" exhaustive ";DREAM_TEST_EXHAUSTIVE=1")
    endif()
  endif()
endforeach()
file(WRITE ${OUTPUT} "${script}")
