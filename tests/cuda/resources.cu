// The kernels whose registers, shared memory, spills and stack frames a test watches, in float (double is for gradient
// checks): a line each. resources.py compares what the compiler says about this file with resources.tsv. To rewrite
// that:
//   cmake --build build/release --target dream_resource_table
#include <cstddef>
#include <type_traits>

#include <dream/kernels/adam.cuh>
#include <dream/kernels/balanced_row_sums.cuh>
#include <dream/kernels/batch_similarity_loss.cuh>
#include <dream/kernels/check_rows.cuh>
#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/cosine_distance.cuh>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/digit_sort.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/dropout.cuh>
#include <dream/kernels/embedding_regulariser.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/gated_modal_encoder.cuh>
#include <dream/kernels/info_nce_gradient.cuh>
#include <dream/kernels/info_nce_sums.cuh>
#include <dream/kernels/knn.cuh>
#include <dream/kernels/loss_sums.cuh>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/kernels/modality_attention.cuh>
#include <dream/kernels/moment_distance.cuh>
#include <dream/kernels/ranking_loss.cuh>
#include <dream/kernels/ranking_metrics.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/kernels/row_norm.cuh>
#include <dream/kernels/row_places.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/sampler.cuh>
#include <dream/kernels/selection.cuh>
#include <dream/kernels/top_k_products.cuh>

using namespace dream;
using namespace dream::kernels;

/// Carries to the report what the compiler does not say: threads, and shared memory given at launch.
template <class Kernel, int threads, std::size_t shared_bytes>
__global__ void described() {}

template <class Kernel>
struct Watched {
  using Shared = typename Kernel::Shared;
  static constexpr std::size_t shared_bytes = std::is_empty_v<Shared> ? 0 : sizeof(Shared);

  const void* entry() { return reinterpret_cast<const void*>(&kernel_entry<Kernel>); }
  const void* description() { return reinterpret_cast<const void*>(&described<Kernel, Kernel::threads, shared_bytes>); }
};

// adam.cuh
template struct Watched<kernels::AdvanceAdam<float>>;
template struct Watched<kernels::AdamUpdate<float>>;
template struct Watched<kernels::AdamUpdateFactored<float>>;

// balanced_row_sums.cuh
template struct Watched<kernels::BalancedRowSums<float>>;
template struct Watched<kernels::BalancedRowSums<float, true>>;
template struct Watched<kernels::AddCarries<float>>;
template struct Watched<kernels::ListOffsets>;

// batch_similarity_loss.cuh
template struct Watched<kernels::GatherFeatures<float>>;
template struct Watched<kernels::SampledTargetNorm<float>>;
template struct Watched<kernels::SampledTargetNormFinish>;
template struct Watched<kernels::CombineSimilarity<float>>;

// check_rows.cuh
template struct Watched<kernels::CheckRows>;

// column_sums.cuh
template struct Watched<kernels::ColumnSumPieces<float>>;
template struct Watched<kernels::ColumnSumFinish<float>>;

// cosine_distance.cuh
template struct Watched<kernels::OneMinusMean<float>>;

// dense.cuh
template struct Watched<kernels::Fill<float>>;
template struct Watched<kernels::Axpby<float>>;
template struct Watched<kernels::MaskedAxpby<float>>;
template struct Watched<kernels::AddToRows<float>>;

// digit_sort.cuh
template struct Watched<kernels::CountDigits>;
template struct Watched<kernels::MoveByDigit>;

// dot_products.cuh
template struct Watched<kernels::DotPieces<float>>;
template struct Watched<kernels::DotFinish>;

// dropout.cuh
template struct Watched<kernels::DropValues<float>>;

// embedding_regulariser.cuh
template struct Watched<kernels::RegulariserFinish<float>>;
template struct Watched<kernels::RegulariserBackward<float>>;

// gated_modal_encoder.cuh
template struct Watched<kernels::GateForward<float>>;
template struct Watched<kernels::GateBackward<float>>;

// info_nce_gradient.cuh
template struct Watched<kernels::InfoNceGradient<float, false, false>>;
template struct Watched<kernels::InfoNceGradient<float, false, true>>;
template struct Watched<kernels::InfoNceGradient<float, true, false>>;
template struct Watched<kernels::InfoNceGradient<float, true, true>>;
template struct Watched<kernels::InfoNceAddParts<float>>;

// info_nce_sums.cuh
template struct Watched<kernels::InfoNceSums<float, false>>;
template struct Watched<kernels::InfoNceSums<float, true>>;
template struct Watched<kernels::InfoNceLogSums<float>>;
template struct Watched<kernels::InfoNceLoss<float>>;

// knn.cuh
template struct Watched<kernels::InverseNorms<float>>;
template struct Watched<kernels::EndNeighbourLists<float>>;
template struct Watched<kernels::detail::KnnSums<float>>;
template struct Watched<kernels::detail::KnnPieces<float>>;
template struct Watched<kernels::detail::KnnEntries<float>>;

// loss_sums.cuh
template struct Watched<kernels::AddLosses<float>>;

// modal_fusion.cuh
template struct Watched<kernels::ModalitySoftmax<float>>;
template struct Watched<kernels::FuseModalities<float, 2>>;
template struct Watched<kernels::FuseModalities<float>>;
template struct Watched<kernels::FuseModalitiesBackward<float>>;
template struct Watched<kernels::FusionLogitsBackward<float>>;

// modality_attention.cuh
template struct Watched<kernels::AttendModalities<float, 2>>;
template struct Watched<kernels::AttendModalities<float, 4>>;
template struct Watched<kernels::AttendModalities<float>>;
template struct Watched<kernels::AttendModalitiesBackward<float, 2>>;
template struct Watched<kernels::AttendModalitiesBackward<float, 4>>;
template struct Watched<kernels::AttendModalitiesBackward<float>>;
template struct Watched<kernels::AttentionPreGradient<float>>;

// moment_distance.cuh
template struct Watched<kernels::MomentSums<float, false>>;
template struct Watched<kernels::MomentSums<float, true>>;
template struct Watched<kernels::MomentLoss<float>>;
template struct Watched<kernels::MomentGradient<float>>;

// ranking_loss.cuh
template struct Watched<kernels::BprForward<float>>;
template struct Watched<kernels::BprWithSquares<float>>;
template struct Watched<kernels::RankingLossFinish<float>>;
template struct Watched<kernels::BprBackward<float>>;

// ranking_metrics.cuh
template struct Watched<kernels::detail::RankingPieces>;
template struct Watched<kernels::detail::RankingMeans>;

// row_gather.cuh
template struct Watched<kernels::GatherRows<float>>;
template struct Watched<kernels::ScatterGroups<float>>;

// row_groups.cuh
template struct Watched<kernels::BuildRowGroups<4>>;
template struct Watched<kernels::BuildRowGroups<16>>;
template struct Watched<kernels::CountGroups>;
template struct Watched<kernels::WriteGroups>;

// row_norm.cuh
template struct Watched<kernels::NormaliseRows<float>>;
template struct Watched<kernels::NormaliseRows<float, true>>;
template struct Watched<kernels::NormaliseRowsBackward<float>>;
template struct Watched<kernels::NormaliseRowsBackward<float, true>>;

// row_places.cuh
template struct Watched<kernels::ClearPlaces>;
template struct Watched<kernels::PutBackPlaces>;

// row_sums.cuh
template struct Watched<kernels::RowSums<float>>;
template struct Watched<kernels::RowSums<float, true>>;

// sampler.cuh
template struct Watched<kernels::DrawPairs>;
template struct Watched<kernels::AdvanceBatch>;

// selection.cuh
template struct Watched<kernels::TopKRows<float>>;
template struct Watched<kernels::TopKRows<float, true>>;

// top_k_products.cuh
template struct Watched<kernels::TopKProducts<float>>;
