// A second unit with the same headers: everything in them must be inline.
#include <string>

#include <dream/cuda/cuda.cuh>
#include <dream/dream.hpp>

std::string sentence_of_cuda_unit();
std::string sentence_of_cuda_unit() {
  std::string why;
  dream::cuda_is_usable(&why);
  return why;
}
