// Rows of a batch: gathered, grouped, summed by groups and scattered; and the sampler that draws the batch.
#include <cub/device/device_radix_sort.cuh>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/kernels/sampler.cuh>
#include <dream/kernels/spmm_plan.cuh>
#include <dream/train/sampler.hpp>

#include "cases.cuh"
#include "graphs.cuh"

namespace dream_benchmarks {

namespace {

/// A batch of rows of a matrix, with its groups.
struct Grouped {
  Grouped(Inputs& inputs, index_t batch, index_t total)
      : rows(inputs.rows(batch, total, 2)),
        groups{inputs.values<index_t>(batch), inputs.room<std::int64_t>(batch + 1), inputs.room<index_t>(batch),
               inputs.values<index_t>(total), inputs.room<index_t>(1)},
        workspace(inputs.room<std::uint64_t>(kernels::row_groups_workspace(batch))) {
    build(inputs.context(), false);
  }
  void build(Context<Cuda>& context, bool built_before) const {
    kernels::build_row_groups(context, {rows, groups, built_before, workspace});
  }

  VectorView<index_t> rows;
  kernels::RowGroupsView groups;
  std::uint64_t* workspace;
};

/// The batch's rows and, distinct and in order, those of its groups.
struct HostGroups {
  HostGroups(Context<Cuda>& context, const Grouped& g)
      : rows(on_host<index_t>(context, g.rows.data, g.rows.size)),
        count(on_host<index_t>(context, g.groups.count, 1)[0]),
        group_rows(on_host<index_t>(context, g.groups.group_rows.data, count)),
        offsets(on_host<std::int64_t>(context, g.groups.offsets, count + 1)),
        positions(on_host<index_t>(context, g.groups.positions, g.rows.size)) {}
  std::vector<index_t> rows;
  index_t count;
  std::vector<index_t> group_rows;
  std::vector<std::int64_t> offsets;
  std::vector<index_t> positions;
};

Work gather(index_t batch, index_t total, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(total, dim);
  const VectorView<const index_t> rows = inputs->rows(batch, total, 2);
  const MatrixView<float> y = inputs->matrix(batch, dim);
  Work work;
  work.inputs = inputs;
  work.bytes = batch * (4.0 + 8.0 * dim);
  work.contenders = {{"dream",
                      [&context, x, rows, y] {
                        launch<kernels::GatherRows<float>>(context, {x, rows, y});
                      }},
                     copy_of(*inputs, work.bytes)};
  work.check = [&context, x, rows, y] {
    const auto row = on_host(context, rows.data, rows.size);
    const auto found = on_host(context, y.data, y.size()), from = on_host(context, x.data, x.size());
    const auto cols = static_cast<std::size_t>(x.cols);
    for (std::size_t k = 0; k < row.size(); ++k)
      DREAM_EXPECT(std::equal(found.begin() + static_cast<std::ptrdiff_t>(k * cols),
                              found.begin() + static_cast<std::ptrdiff_t>((k + 1) * cols),
                              from.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row[k]) * cols)),
                   "row ", k, " is not row ", row[k]);
  };
  return work;
}

Work row_groups(index_t batch, index_t total) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Grouped grouped(*inputs, batch, total);
  std::vector<index_t> numbers(static_cast<std::size_t>(batch));
  std::iota(numbers.begin(), numbers.end(), index_t{0});
  const VectorView<index_t> places = inputs->copied<index_t>(numbers);
  index_t *keys = inputs->room<index_t>(batch), *sorted = inputs->room<index_t>(batch);
  int bits = 1;
  while (total >> bits != 0) ++bits;
  const auto sort = [&context, grouped, places, keys, sorted, batch, bits](void* memory, std::size_t& bytes) {
    DREAM_CUDA_TRY(cub::DeviceRadixSort::SortPairs(memory, bytes, static_cast<const index_t*>(grouped.rows.data), keys,
                                                   static_cast<const index_t*>(places.data), sorted, batch, 0, bits,
                                                   context.stream()));
  };
  std::size_t bytes = 0;
  sort(nullptr, bytes);
  std::byte* memory = inputs->room<std::byte>(static_cast<std::int64_t>(bytes));
  Work work;
  work.inputs = inputs;
  work.bytes = 32.0 * batch;
  work.contenders = {{"dream", [&context, grouped] { grouped.build(context, true); }},
                     {"cub_radix_sort", [sort, memory, bytes]() mutable { sort(memory, bytes); }},
                     copy_of(*inputs, work.bytes)};
  work.check = [&context, grouped, sorted, batch, run = work.contenders[1].run] {
    run();
    const auto expected = on_host<index_t>(context, sorted, batch);
    const HostGroups found(context, grouped);
    DREAM_EXPECT(found.positions == expected, "the positions are not those of a stable sort");
    for (index_t g = 0; g < found.count; ++g)
      for (std::int64_t e = found.offsets[static_cast<std::size_t>(g)];
           e < found.offsets[static_cast<std::size_t>(g) + 1]; ++e) {
        const auto position = static_cast<std::size_t>(found.positions[static_cast<std::size_t>(e)]);
        DREAM_EXPECT(found.rows[position] == found.group_rows[static_cast<std::size_t>(g)], "group ", g, " is wrong");
      }
    DREAM_EXPECT(found.offsets.back() == batch, "the groups leave positions out");
  };
  return work;
}

/// The backward of a gather: sums by groups, then a scatter into the gradient of all rows.
Work scatter(index_t batch, index_t total, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Grouped grouped(*inputs, batch, total);
  const MatrixView<const float> dy = inputs->uniform(batch, dim);
  const MatrixView<float> dx = inputs->matrix(total, dim);
  kernels::SumGroupsArguments<float> sum;
  sum.count = grouped.groups.count;
  sum.offsets = grouped.groups.offsets;
  sum.positions = {grouped.groups.positions, batch};
  sum.dy = dy;
  sum.sums = inputs->matrix(batch, dim);
  const kernels::RowSumSpace space = kernels::sum_groups_workspace(batch, dim);
  sum.workspace = {inputs->room<float>(space.carries), inputs->room<index_t>(space.carry_rows), nullptr};
  Work work;
  work.inputs = inputs;
  work.bytes = batch * 4.0 * (dim + 1) + total * (4.0 * dim + 4.0);
  work.contenders = {{"dream",
                      [&context, sum, grouped, dx] {
                        kernels::sum_groups(context, sum);
                        launch<kernels::ScatterGroups<float>>(
                            context, {sum.count, grouped.groups.group_rows, grouped.groups.places, sum.sums, 0.0F, dx});
                      }},
                     copy_of(*inputs, work.bytes)};
  work.check = [&context, grouped, dy, dx] {
    const HostGroups groups(context, grouped);
    std::vector<double> expected(static_cast<std::size_t>(dx.size()));
    const auto from = on_host(context, dy.data, dy.size()), found = on_host<float>(context, dx.data, dx.size());
    const auto cols = static_cast<std::size_t>(dx.cols);
    for (std::size_t k = 0; k < groups.rows.size(); ++k)
      for (std::size_t c = 0; c < cols; ++c)
        expected[static_cast<std::size_t>(groups.rows[k]) * cols + c] += static_cast<double>(from[k * cols + c]);
    Difference difference;
    for (std::size_t i = 0; i < expected.size(); ++i) difference.add(static_cast<double>(found[i]), expected[i]);
    difference.expect_below(1e-5, "dX");
  };
  return work;
}

Work draw(index_t batch) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Csr<float, Cpu>& interactions = interactions_of(graph_sizes[0]);
  const PairSampler sampler(interactions.view(), 999);
  const auto count = static_cast<index_t>(std::min<std::int64_t>(batch, sampler.size()));
  kernels::DrawPairs::Params p{};
  p.source = {inputs->copied<index_t>(sampler.users()),        inputs->copied<index_t>(sampler.positives()),
              inputs->copied<index_t>(sampler.candidates()),   inputs->copied<std::int64_t>(sampler.offsets()).data,
              inputs->copied<index_t>(sampler.indices()).data, sampler.seed()};
  const kernels::BatchPlace place{0, 0, 0};
  p.place = inputs->copied<kernels::BatchPlace>(std::span(&place, 1)).data;
  p.batch_size = count;
  p.users = inputs->values<index_t>(count);
  p.positives = inputs->values<index_t>(count);
  p.negatives = inputs->values<index_t>(count);
  std::vector<index_t> users(static_cast<std::size_t>(count)), positives(users), negatives(users);
  Context<Cpu> host;
  sampler.draw_range(host, 0, 0, count, users.data(), positives.data(), negatives.data());
  Work work;
  work.inputs = inputs;
  work.bytes = 12.0 * count;
  work.contenders = {{"dream", [&context, p] { launch<kernels::DrawPairs>(context, p); }}};
  work.check = [&context, p, users, positives, negatives] {
    const auto same = [&](VectorView<index_t> found, const std::vector<index_t>& expected) {
      return on_host<index_t>(context, found.data, found.size) == expected;
    };
    DREAM_EXPECT(same(p.users, users) && same(p.positives, positives) && same(p.negatives, negatives),
                 "the pairs are not those of the sampler on the host");
  };
  return work;
}

}  // namespace

void add_row_cases() {
  struct Shape {
    index_t batch, total, dim;
  };
  for (const Shape s : {Shape{2048, 19445, 64}, Shape{65536, 1000000, 64}, Shape{1000000, 2000000, 64}}) {
    const std::string shape = std::to_string(s.batch) + "_of_" + std::to_string(s.total) + "/" + std::to_string(s.dim);
    add_case("gather/" + shape, {"dream", "copy"}, [s] { return gather(s.batch, s.total, s.dim); });
    add_case("scatter/" + shape, {"dream", "copy"}, [s] { return scatter(s.batch, s.total, s.dim); });
  }
  for (const Shape s : {Shape{2048, 19445, 0}, Shape{16384, 19445, 0}, Shape{65536, 1000000, 0}})
    add_case("row_groups/" + std::to_string(s.batch) + "_of_" + std::to_string(s.total),
             {"dream", "cub_radix_sort", "copy"}, [s] { return row_groups(s.batch, s.total); });
  for (const index_t batch : {2048, 65536})
    add_case("sampler/" + std::to_string(batch), {"dream"}, [batch] { return draw(batch); });
}

}  // namespace dream_benchmarks
