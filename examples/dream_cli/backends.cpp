#include "backends.hpp"

#include <cstdio>

namespace dream_cli {

std::string usable_backend(const std::string& asked) {
  if (asked != "auto" && asked != "cuda") return asked;
  const std::string why = why_no_gpu();
  if (asked == "cuda") {
    DREAM_EXPECT(why.empty(), "--backend cuda: ", why);
    return asked;
  }
  if (why.empty())
    std::fprintf(stderr, "note: on the GPU\n");
  else
    std::fprintf(stderr, "note: on the CPU: %s\n", why.c_str());
  return why.empty() ? "cuda" : "cpu";
}

}  // namespace dream_cli
