// The kernels whose registers, shared memory, spills and stack frames a test watches: a line each. resources.py
// compiles this file with DREAM_REAL=float and DREAM_REAL=double and compares what the compiler says with
// resources.tsv. To rewrite that:
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
using Real = DREAM_REAL;

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
template struct Watched<kernels::AdvanceAdam<Real>>;
template struct Watched<kernels::AdamUpdate<Real>>;
template struct Watched<kernels::AdamUpdateFactored<Real>>;

// balanced_row_sums.cuh
template struct Watched<kernels::BalancedRowSums<Real>>;
template struct Watched<kernels::BalancedRowSums<Real, true>>;
template struct Watched<kernels::AddCarries<Real>>;
template struct Watched<kernels::ListOffsets>;

// batch_similarity_loss.cuh
template struct Watched<kernels::GatherFeatures<Real>>;
template struct Watched<kernels::SampledTargetNorm<Real>>;
template struct Watched<kernels::SampledTargetNormFinish>;
template struct Watched<kernels::CombineSimilarity<Real>>;

// check_rows.cuh
template struct Watched<kernels::CheckRows>;

// column_sums.cuh
template struct Watched<kernels::ColumnSumPieces<Real>>;
template struct Watched<kernels::ColumnSumFinish<Real>>;

// cosine_distance.cuh
template struct Watched<kernels::OneMinusMean<Real>>;

// dense.cuh
template struct Watched<kernels::Fill<Real>>;
template struct Watched<kernels::Axpby<Real>>;
template struct Watched<kernels::MaskedAxpby<Real>>;
template struct Watched<kernels::AddToRows<Real>>;

// digit_sort.cuh
template struct Watched<kernels::CountDigits>;
template struct Watched<kernels::MoveByDigit>;

// dot_products.cuh
template struct Watched<kernels::DotPieces<Real>>;
template struct Watched<kernels::DotFinish>;

// dropout.cuh
template struct Watched<kernels::DropValues<Real>>;

// embedding_regulariser.cuh
template struct Watched<kernels::RegulariserFinish<Real>>;
template struct Watched<kernels::RegulariserBackward<Real>>;

// gated_modal_encoder.cuh
template struct Watched<kernels::GateForward<Real>>;
template struct Watched<kernels::GateBackward<Real>>;

// info_nce_gradient.cuh
template struct Watched<kernels::InfoNceGradient<Real, false, false>>;
template struct Watched<kernels::InfoNceGradient<Real, false, true>>;
template struct Watched<kernels::InfoNceGradient<Real, true, false>>;
template struct Watched<kernels::InfoNceGradient<Real, true, true>>;
template struct Watched<kernels::InfoNceAddParts<Real>>;

// info_nce_sums.cuh
template struct Watched<kernels::InfoNceSums<Real, false>>;
template struct Watched<kernels::InfoNceSums<Real, true>>;
template struct Watched<kernels::InfoNceLogSums<Real>>;
template struct Watched<kernels::InfoNceLoss<Real>>;

// knn.cuh
template struct Watched<kernels::InverseNorms<Real>>;
template struct Watched<kernels::EndNeighbourLists<Real>>;
template struct Watched<kernels::detail::KnnSums<Real>>;
template struct Watched<kernels::detail::KnnPieces<Real>>;
template struct Watched<kernels::detail::KnnEntries<Real>>;

// loss_sums.cuh
template struct Watched<kernels::AddLosses<Real>>;

// modal_fusion.cuh
template struct Watched<kernels::ModalitySoftmax<Real>>;
template struct Watched<kernels::FuseModalities<Real, 2>>;
template struct Watched<kernels::FuseModalities<Real, 4>>;
template struct Watched<kernels::FuseModalities<Real>>;
template struct Watched<kernels::FuseModalitiesBackward<Real>>;
template struct Watched<kernels::FusionLogitsBackward<Real>>;

// modality_attention.cuh
template struct Watched<kernels::AttendModalities<Real, 2>>;
template struct Watched<kernels::AttendModalities<Real, 4>>;
template struct Watched<kernels::AttendModalities<Real>>;
template struct Watched<kernels::AttendModalitiesBackward<Real, 2>>;
template struct Watched<kernels::AttendModalitiesBackward<Real, 4>>;
template struct Watched<kernels::AttendModalitiesBackward<Real>>;
template struct Watched<kernels::AttentionPreGradient<Real>>;

// moment_distance.cuh
template struct Watched<kernels::MomentSums<Real, false>>;
template struct Watched<kernels::MomentSums<Real, true>>;
template struct Watched<kernels::MomentLoss<Real>>;
template struct Watched<kernels::MomentGradient<Real>>;

// ranking_loss.cuh
template struct Watched<kernels::BprForward<Real>>;
template struct Watched<kernels::BprWithSquares<Real>>;
template struct Watched<kernels::RankingLossFinish<Real>>;
template struct Watched<kernels::BprBackward<Real>>;

// ranking_metrics.cuh
template struct Watched<kernels::detail::RankingPieces>;
template struct Watched<kernels::detail::RankingMeans>;

// row_gather.cuh
template struct Watched<kernels::GatherRows<Real>>;
template struct Watched<kernels::ScatterGroups<Real>>;

// row_groups.cuh
template struct Watched<kernels::BuildRowGroups<4>>;
template struct Watched<kernels::BuildRowGroups<16>>;
template struct Watched<kernels::CountGroups>;
template struct Watched<kernels::WriteGroups>;

// row_norm.cuh
template struct Watched<kernels::NormaliseRows<Real>>;
template struct Watched<kernels::NormaliseRows<Real, true>>;
template struct Watched<kernels::NormaliseRowsBackward<Real>>;
template struct Watched<kernels::NormaliseRowsBackward<Real, true>>;

// row_places.cuh
template struct Watched<kernels::ClearPlaces>;
template struct Watched<kernels::PutBackPlaces>;

// row_sums.cuh
template struct Watched<kernels::RowSums<Real>>;
template struct Watched<kernels::RowSums<Real, true>>;

// sampler.cuh
template struct Watched<kernels::DrawPairs>;
template struct Watched<kernels::DrawWeights>;
template struct Watched<kernels::AdvanceBatch>;

// selection.cuh
template struct Watched<kernels::TopKRows<Real>>;
template struct Watched<kernels::TopKRows<Real, true>>;

// top_k_products.cuh
template struct Watched<kernels::TopKProducts<Real>>;
