# Configures, builds and runs a consumer of the library in SCRATCH, with the default generator.
# WAY: installed (find_package from a temporary prefix), installed_with_cuda, or subdirectory.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${SCRATCH})
unset(ENV{CXXFLAGS})
unset(ENV{CMAKE_GENERATOR})
unset(ENV{CUDAFLAGS})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${result}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(options -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_BUILD_TYPE=Debug)
if(WAY MATCHES "subdirectory")
  list(APPEND options -DDREAM_FOLDER=${SOURCE})
else()
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
  # A moved installation must still work.
  file(RENAME ${SCRATCH}/prefix ${SCRATCH}/moved)
  list(APPEND options -DCMAKE_PREFIX_PATH=${SCRATCH}/moved)
endif()
if(WAY MATCHES "with_cuda")
  list(APPEND options -DCONSUMER_WANTS_CUDA=ON -DCMAKE_CUDA_COMPILER=${NVCC} -DCMAKE_CUDA_ARCHITECTURES=90-real)
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/package/consumer -B ${SCRATCH}/build ${options})
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
run(${CMAKE_CTEST_COMMAND} --test-dir ${SCRATCH}/build --output-on-failure --no-tests=error)

# Without JSON the checkpoint part is refused with the reason, and the rest can be used.
if(NOT WAY MATCHES "subdirectory")
  list(APPEND options -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON -DCONSUMER_WANTS_CUDA=OFF)
  run(${CMAKE_COMMAND} -S ${SOURCE}/tests/package/consumer -B ${SCRATCH}/without_json ${options} -DCONSUMER_WANTS_CHECKPOINT=OFF)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/package/consumer -B ${SCRATCH}/refused ${options}
    RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  if(result EQUAL 0 OR NOT output MATCHES "needs nlohmann_json")
    message(FATAL_ERROR "asking for the checkpoint part without JSON should be refused with the reason, but:\n${output}")
  endif()
endif()
