// Uses the part that needs nlohmann_json: a tensor goes through a safetensors file, whose path is the first argument.
#include <cstdio>
#include <cstring>

#include <dream/train/safetensors.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const float values[6] = {1, 2, 3, 4, 5, 6};
  dream::write_safetensors(argv[1], {dream::make_tensor("table", values, 2, 3)}, {{"made_by", "consumer"}});
  std::FILE* file = std::fopen(argv[1], "rb");
  if (file == nullptr) return 3;
  unsigned char bytes[4096];
  const std::size_t size = std::fread(bytes, 1, sizeof bytes, file);
  std::fclose(file);
  return size > sizeof values && std::memcmp(bytes + size - sizeof values, values, sizeof values) == 0 ? 0 : 1;
}
