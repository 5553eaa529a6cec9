// A second unit with the same headers: everything in them must be inline.
#if __has_include(<dream/dream.hpp>)
#include <dream/dream.hpp>
#else
#include <dream/backend/gemm.hpp>
#include <dream/core/random.hpp>
#endif

int random_word_of_second_unit();
int random_word_of_second_unit() { return static_cast<int>(dream::RandomStream{42}.block(0).word[0] >> 1); }
