# Defines dream::cuda, dream::dream for .cu files, where the CUDA toolkit has what it needs; otherwise leaves the reason
# in dream_cuda_missing. Read by the build and by the installed package.
find_package(CUDAToolkit 12.8 QUIET)
set(dream_cuda_missing)
if(NOT CUDAToolkit_FOUND)
  set(dream_cuda_missing "the CUDA toolkit 12.8 or newer")
elseif(NOT TARGET CUDA::cublas OR NOT TARGET CUDA::cusparse)
  set(dream_cuda_missing "cuBLAS and cuSPARSE beside the CUDA toolkit in ${CUDAToolkit_BIN_DIR}")
elseif(NOT TARGET dream::cuda)
  add_library(dream_cuda INTERFACE)
  add_library(dream::cuda ALIAS dream_cuda)
  # CUDA's runtime is linked by the language, static or shared as the target wants it.
  target_link_libraries(dream_cuda INTERFACE dream::dream CUDA::cublas CUDA::cusparse)
  # CMake 3.25 knows no cuda_std_20 for nvcc, and cxx_std_20 does not reach it.
  target_compile_options(dream_cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
  # Otherwise Eigen switches its vectors off under nvcc, and the slower functions may win when units are linked.
  target_compile_definitions(dream_cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:EIGEN_NO_CUDA>)
endif()
