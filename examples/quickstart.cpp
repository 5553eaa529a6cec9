// From data to recommendations with the library alone.
#include <cstdio>

#include <dream/data/synthetic.hpp>
#include <dream/models/dream.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/train/fit.hpp>

int main() {
  using dream::Cpu;
  dream::Context<Cpu> context;
  // Or: dream::read_dataset("path/to/folder") from <dream/data/read_dataset.hpp>.
  const dream::Dataset dataset = dream::make_synthetic({.users = 1000, .items = 500, .interactions = 20000});

  dream::DreamOptions options;
  options.embedding_size = 32;
  const auto data = dream::prepare_data<float>(context, dataset, options.data);  // graphs and features
  dream::Dream<float, Cpu> model(context, data, options, /*seed=*/1);

  dream::FitOptions fit;
  fit.epochs = 20;
  dream::Trainer trainer(context, model, dataset, fit);
  trainer.fit([](const dream::EpochReport& epoch) {
    std::printf("epoch %2d  loss %.4f  valid recall@20 %.4f\n", epoch.epoch, epoch.losses.back().second,
                epoch.valid.at("recall@20"));
    return true;  // false stops
  });
  std::printf("test recall@20 %.4f\n", trainer.evaluate(dream::Split::test).at("recall@20"));

  const dream::index_t users[] = {0, 1, 2};
  dream::recommend<float>(context, trainer.best_users().view(), trainer.best_items().view(),
                          trainer.train_interactions(), users, 5, [](dream::index_t user, auto best) {
                            std::printf("user %d:", user);
                            for (const auto& item : best) std::printf("  %d (%.3f)", item.index, item.value);
                            std::printf("\n");
                          });
}
