// The instruction set that a unit is compiled for. Layouts, tiles and bits depend on it, so what does is in an inline
// namespace named after it: units with other flags (-march=native beside none, a .cu beside a .cpp) link side by side.
#pragma once

#if defined(__AVX512F__)
#define DREAM_INSTRUCTION_SET avx512
#define DREAM_INSTRUCTION_SET_NAME ", avx512"
#elif defined(__AVX2__) && defined(__FMA__)
#define DREAM_INSTRUCTION_SET avx2_fma
#define DREAM_INSTRUCTION_SET_NAME ", avx2_fma"
#elif defined(__AVX2__)
#define DREAM_INSTRUCTION_SET avx2
#define DREAM_INSTRUCTION_SET_NAME ", avx2"
#elif defined(__AVX__)
#define DREAM_INSTRUCTION_SET avx
#define DREAM_INSTRUCTION_SET_NAME ", avx"
#else
#define DREAM_INSTRUCTION_SET baseline
#define DREAM_INSTRUCTION_SET_NAME ", baseline"
#endif

namespace dream {
inline namespace DREAM_INSTRUCTION_SET {

/// The host and its threads. Every function and type of this backend has it in its name, and so the instruction set.
struct Cpu {};

/// What the bits of results depend on beside data, settings and seeds: the compiler and the instruction set.
constexpr const char* build_signature() {
#if defined(__clang__)
  return "clang " __VERSION__ DREAM_INSTRUCTION_SET_NAME;
#else
  return "gcc " __VERSION__ DREAM_INSTRUCTION_SET_NAME;
#endif
}

}  // namespace DREAM_INSTRUCTION_SET
}  // namespace dream
