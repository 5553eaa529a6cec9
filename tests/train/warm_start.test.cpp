#include <dream/train/warm_start.hpp>

#include <cstring>
#include <vector>

#include <dream/data/synthetic.hpp>
#include <dream/models/bm3.hpp>
#include <dream/testing/emulated.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::train_warm_start {

using namespace dream;

namespace {

/// A small world whose users and items have names; later ones have more of both, in another order.
Dataset named_world(index_t users, index_t items, bool reversed) {
  Dataset data =
      make_synthetic({.users = users, .items = items, .interactions = 8 * users, .modalities = {{"image", 6}}});
  const auto name = [&](IdMap& ids, const char* what) {
    for (index_t r = 0; r < ids.count; ++r) ids.names.push_back(concat(what, reversed ? ids.count - 1 - r : r));
  };
  name(data.users, "u");
  name(data.items, "i");
  return data;
}

template <class B, class F>
void with_trainer(Context<B>& context, const Dataset& dataset, std::uint64_t seed, F&& f) {
  Context<Cpu> host(1);
  ModelDataOptions prepared;
  prepared.item_graph = ItemGraph::none;
  const auto data = upload<float>(context, prepare_data<float>(host, dataset, prepared));
  Bm3<float, B> model(context, data, Bm3Options{.embedding_size = 4, .train_features = true}, seed);
  FitOptions options;
  options.batch_size = 64;
  options.top_k = {5};
  options.valid_metric = "recall@5";
  Trainer trainer(context, model, dataset, options);
  f(trainer);
}

template <class B>
void check_warm_start(Context<B>& context) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const Dataset before = named_world(30, 25, false), after = named_world(37, 31, true);
  std::vector<Matrix<float, Cpu>> old, fresh;
  const auto download_all = [&](auto& trainer) {
    std::vector<Matrix<float, Cpu>> all;
    auto& p = trainer.model().parameters();
    for (int i = 0; i < p.count(); ++i) all.push_back(download<float>(context, MatrixView<const float>(p.value({i}))));
    for (auto& large : trainer.model().large_parameters())
      all.push_back(download<float>(context, MatrixView<const float>(large.value.view())));
    return all;
  };
  with_trainer(context, before, 1, [&](auto& trainer) {
    for (int e = 0; e < 2; ++e) trainer.run_epoch([](const StepReport&) { return true; });
    save_checkpoint(path, trainer, {"bm3", "{}", 1}, before.users, before.items);
    old = download_all(trainer);
  });
  with_trainer(context, after, 2, [&](auto& trainer) { fresh = download_all(trainer); });
  with_trainer(context, after, 2, [&](auto& trainer) {
    const WarmStart taken = warm_start(path, trainer, after);
    CHECK(taken.users == 30);
    CHECK(taken.items == 25);
    CHECK(taken.untouched.empty());
    const auto now = download_all(trainer);
    REQUIRE(now.size() == old.size());
    for (std::size_t p = 0; p < now.size(); ++p) {
      const bool of_users = now[p].rows() == 37, of_items = now[p].rows() == 31;
      for (index_t r = 0; r < now[p].rows(); ++r) {
        // Rows of the later data count down: its last ones are the first of the former.
        const index_t was = of_users || of_items ? now[p].rows() - 1 - r : r;
        const bool known = was < old[p].rows();
        const Matrix<float, Cpu>& expected = known ? old[p] : fresh[p];
        CHECK(std::memcmp(now[p].view().row(r), expected.view().row(known ? was : r),
                          sizeof(float) * static_cast<std::size_t>(now[p].cols())) == 0);
      }
    }
    CHECK(trainer.state().epoch == 0);
    trainer.run_epoch([](const StepReport&) { return true; });
  });
}

}  // namespace

TEST_CASE("A warm start matches rows by id, takes other parameters whole and leaves new rows as they began") {
  SECTION("on the host") {
    Context<Cpu> context(2);
    check_warm_start(context);
  }
  SECTION("where kernels run") {
    Context<Emulated> context;
    check_warm_start(context);
  }
}

TEST_CASE("A warm start from vectors alone is an error, and a parameter of another shape is named") {
  const TemporaryFolder folder;
  Context<Cpu> context(1);
  Dataset data = named_world(20, 15, false);
  const std::string vectors = folder / "v.safetensors", whole = folder / "w.safetensors";
  with_trainer(context, data, 1, [&](auto& trainer) {
    const Matrix<float, Cpu> users(20, 4), items(15, 4);
    save_vectors(vectors, {"bm3", "{}", 1}, 1, users.view(), items.view(), data.users, data.items);
    save_checkpoint(whole, trainer, {"bm3", "{}", 1}, data.users, data.items);
    REQUIRE_ERROR(warm_start(vectors, trainer, data), "take the run's checkpoint.safetensors");
  });
  data.modalities[0].cols = 5;
  data.modalities[0].values.resize(15 * 5);
  with_trainer(context, data, 1, [&](auto& trainer) {
    CHECK(warm_start(whole, trainer, data).untouched == std::vector<std::string>{"image.weight", "image.features"});
  });
}

}  // namespace dream_tests::train_warm_start
