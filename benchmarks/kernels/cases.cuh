// What the kernel benchmarks share: cases with several contenders, their timing, and the ceilings of the card.
//
// A case is one piece of work at one shape: prepared once, checked once, then done by each contender. The first one,
// "dream", is the library's; "dream_..." are other ways it could do the work; "naive" is a plain kernel; "copy" moves
// as many bytes; the rest are NVIDIA's libraries. A benchmark's name is CASE/CONTENDER.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dream/cuda/cuda.cuh>

#include "inputs.cuh"

namespace dream_benchmarks {

/// The card that everything runs on.
Context<Cuda>& gpu();

/// What the card does at best, measured when the program starts.
struct Ceilings {
  double copy = 0;     ///< bytes a second, read and written, of a copy within its memory
  double product = 0;  ///< operations a second of a large fp32 product by cuBLAS
};

/// One way of doing a case's work.
struct Contender {
  std::string who;
  std::function<void()> run;  ///< gives the work to the context's stream; allocates nothing after its first call
  bool waits = false;         ///< asks the card for numbers on the way, so that no graph can hold it
};

struct Work {
  std::shared_ptr<Inputs> inputs;
  std::vector<Contender> contenders;
  double bytes = 0;       ///< what must move at least
  double operations = 0;  ///< 0: not worth counting
  /// Throws dream::error where the first contender's results are wrong. Runs what it needs.
  std::function<void()> check;
  std::vector<std::pair<std::string, double>> numbers = {};  ///< further ones to report
  std::shared_ptr<const void> shared = {};  ///< kept until the next case is prepared, which may use it too
};

/// Registers a benchmark for each contender, in the order in which `prepare` lists them.
void add_case(const std::string& name, const std::vector<std::string>& who, std::function<Work()> prepare);

/// Whether three quarters of the free device memory hold so many bytes; where not, says that the case is left out.
bool has_room(const std::string& name, std::int64_t bytes);

/// Copies so many bytes' worth in `inputs`: half of them read, half written.
Contender copy_of(Inputs& inputs, double bytes);

/// Work whose only bound is that so many bytes move, beside their copy.
Work memory_bound(const std::shared_ptr<Inputs>& inputs, double bytes, std::function<void()> run,
                  std::function<void()> check);

void add_dense_cases();
void add_elementwise_cases();
void add_batch_cases();
void add_attention_cases();
void add_feature_cases();
void add_adam_cases();
void add_alignment_cases();
void add_similarity_cases();
void add_sparse_product_cases();
void add_propagation_cases();
void add_row_cases();
void add_ranking_cases();

}  // namespace dream_benchmarks
