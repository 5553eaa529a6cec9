// Training allocates in its first steps only. The program's operator new is replaced here, to count.
#include <atomic>
#include <cstdlib>
#include <new>

#include <dream/data/synthetic.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
#include <dream/train/adam.hpp>
#include <dream/train/sampler.hpp>

#include "support/catch.hpp"

// Sanitizers bring their own operator new, whose checks are worth more than the count.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DREAM_COUNTS_ALLOCATIONS 0
#else
#define DREAM_COUNTS_ALLOCATIONS 1
#endif

namespace {

std::atomic<std::int64_t> allocations = 0;
std::atomic<std::int64_t> largest = 0;

}  // namespace

#if DREAM_COUNTS_ALLOCATIONS

namespace {

[[gnu::noinline]] void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  std::int64_t seen = largest;
  while (seen < static_cast<std::int64_t>(size) &&
         !largest.compare_exchange_weak(seen, static_cast<std::int64_t>(size)))
    continue;
  void* const p = alignment <= alignof(std::max_align_t)
                      ? std::malloc(std::max<std::size_t>(size, 1))
                      : std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  return p;
}

/// Out of line, or the compiler sees free() meet a new expression and warns.
[[gnu::noinline]] void release(void* p) { std::free(p); }

}  // namespace

void* operator new(std::size_t size) { return counted(size, 1); }
void* operator new[](std::size_t size) { return counted(size, 1); }
void* operator new(std::size_t size, std::align_val_t a) { return counted(size, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t size, std::align_val_t a) { return counted(size, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }

#endif

namespace dream_tests::models_allocations {

using namespace dream;

namespace {

/// Steps 3 to 5 of training on batches of one size: their allocations.
template <class Model>
void check_steps(Context<Cpu>& context, Model& model, PairSampler& sampler) {
  Adam<float, Cpu> optimiser(context, model.parameters(), model.large_parameters(), {});
  Tape<float, Cpu> tape(context);
  for (int step = 1; step <= 5; ++step) {
    const std::int64_t before = allocations;
    largest = 0;
    const Batch batch = sampler.draw(context, 0, step - 1, 100);
    const std::int64_t drawn = allocations;
    tape.clear();
    const Losses losses = model.losses(tape, batch);
    const std::int64_t forward = allocations;
    tape.backward(losses.total);
    model.bind_large_gradients(tape);
    const std::int64_t backward = allocations;
    optimiser.step(context);
    const std::int64_t all = allocations - before;
    INFO("step " << step << ": drawing " << drawn - before << ", forward " << forward - drawn << ", backward "
                 << backward - forward << ", Adam " << before + all - backward << ", the largest of " << largest.load()
                 << " bytes");
    if (step == 1)
      CHECK(all > 0);
    else if (step >= 3)
      CHECK(all == 0);
  }
}

}  // namespace

TEST_CASE("Training allocates nothing after its first steps, whatever the batches") {
  if (!DREAM_COUNTS_ALLOCATIONS) DREAM_SKIP("allocations are not counted under sanitizers");
  const Dataset dataset = make_synthetic(
      {.users = 150, .items = 90, .interactions = 1500, .modalities = {{"image", 20}, {"text", 9}}, .groups = 5});
  // One thread: of several, one may meet its first task of a kind, and take scratch memory for it, in any step.
  Context<Cpu> context(1);
  const auto interactions =
      interaction_matrix<float>(context, dataset.train, dataset.user_count(), dataset.item_count());
  PairSampler sampler(interactions.view(), 3);
  const auto run = [&](const char* name, DreamOptions options) {
    INFO(name);
    options.embedding_size = 16;
    const auto data = prepare_data<float>(context, dataset, options.data);
    Dream<float, Cpu> model(context, data, options, 1);
    check_steps(context, model, sampler);
  };
  run("defaults", {});
  DreamOptions learned;
  learned.train_features = true;
  learned.data.user_graph = UserGraph::knn;
  learned.modality_weights = ModalityWeights::learned;
  learned.alignment.intra = Intra::modalities;
  learned.alignment.inter_directions = Directions::both;
  learned.s3_target_norm = TargetNorm::exact;
  learned.gate = Gate::self;
  run("everything learned", learned);
  DreamOptions plain;
  plain.data.item_graph = ItemGraph::none;
  plain.data.user_graph = UserGraph::none;
  plain.gate = Gate::none;
  plain.alignment.intra = Intra::pairs;
  plain.n_ui_layers = 3;
  run("without relation graphs", plain);

  const auto data = prepare_data<float>(context, dataset, {.modal = false});
  LightGcn<float, Cpu> lightgcn(context, data, {.embedding_size = 16}, 1);
  check_steps(context, lightgcn, sampler);
  MatrixFactorisation<float, Cpu> mf(context, data, {.embedding_size = 16}, 1);
  check_steps(context, mf, sampler);

  const auto binary = prepare_data<float>(context, dataset, {.item_graph = ItemGraph::binary});
  for (const bool align : {false, true}) {
    INFO("alignment " << align);
    Vbpr<float, Cpu> vbpr(context, binary, {.embedding_size = 16, .align = align}, 1);
    check_steps(context, vbpr, sampler);
    Bm3<float, Cpu> bm3(context, binary, {.embedding_size = 16, .align = align}, 1);
    check_steps(context, bm3, sampler);
    Freedom<float, Cpu> freedom(context, binary, {.embedding_size = 16, .align = align}, 1);
    freedom.begin_epoch(context, context, interactions.view(), 0);
    check_steps(context, freedom, sampler);
    Mgcn<float, Cpu> mgcn(context, binary, {.embedding_size = 16, .align = align}, 1);
    check_steps(context, mgcn, sampler);
  }
}

}  // namespace dream_tests::models_allocations
