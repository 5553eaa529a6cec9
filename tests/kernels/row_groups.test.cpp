#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/check_rows.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_row_groups {

using namespace dream;
using namespace dream::kernels;

namespace {

/// Everything that build_row_groups writes.
struct Groups {
  std::vector<index_t> group_rows, positions, places, count{-7};
  std::vector<std::int64_t> offsets;

  Groups(std::int64_t room, std::int64_t total_rows)
      : group_rows(static_cast<std::size_t>(room), -7),
        positions(static_cast<std::size_t>(room), -7),
        places(static_cast<std::size_t>(total_rows), -7),
        offsets(static_cast<std::size_t>(room + 1), -7) {}

  RowGroupsView output(KernelBuffers& use) {
    return {use.output(view(group_rows)), use.output(offsets.data(), size(offsets)),
            use.output(positions.data(), size(positions)), use.output(view(places)), use.output(count.data(), 1)};
  }
  template <class V>
  static std::int64_t size(const V& v) {
    return static_cast<std::int64_t>(v.size());
  }
  static VectorView<index_t> view(std::vector<index_t>& v) { return {v.data(), size(v)}; }
};

void build(const std::vector<index_t>& rows, Groups& groups, bool built_before) {
  std::vector<std::uint64_t> workspace(static_cast<std::size_t>(row_groups_workspace(Groups::size(rows))), 7);
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    RowGroupsArguments a;
    a.rows = use.input(VectorView<const index_t>{rows.data(), Groups::size(rows)});
    a.groups = groups.output(use);
    a.built_before = built_before;
    a.workspace = use.output(workspace.data(), Groups::size(workspace));
    build_row_groups(context, a);
  });
  REQUIRE(report.text() == "");
}

/// The groups of `rows` by an ordered map.
void require_groups(const std::vector<index_t>& rows, const Groups& groups) {
  std::map<index_t, std::vector<index_t>> by_row;
  for (std::size_t k = 0; k < rows.size(); ++k)
    if (rows[k] >= 0 && rows[k] < Groups::size(groups.places)) by_row[rows[k]].push_back(static_cast<index_t>(k));
  CAPTURE(rows.size(), groups.places.size());
  REQUIRE(groups.count[0] == static_cast<index_t>(by_row.size()));
  std::vector<index_t> places(groups.places.size(), -1);
  std::int64_t position = 0;
  std::size_t g = 0;
  bool right = true;
  for (const auto& [row, positions] : by_row) {
    places[static_cast<std::size_t>(row)] = static_cast<index_t>(g);
    right = right && groups.group_rows[g] == row && groups.offsets[g] == position;
    for (const index_t k : positions) right = right && groups.positions[static_cast<std::size_t>(position++)] == k;
    ++g;
  }
  REQUIRE(right);
  REQUIRE(groups.offsets[g] == position);
  REQUIRE((groups.places == places));
}

std::vector<index_t> random_rows(std::int64_t size, std::int64_t total_rows, std::uint64_t seed) {
  const RandomStream random{seed};
  std::vector<index_t> rows(static_cast<std::size_t>(size));
  for (std::size_t k = 0; k < rows.size(); ++k)
    rows[k] = static_cast<index_t>(random.below(k, static_cast<std::uint64_t>(total_rows)));
  return rows;
}

void check(const std::vector<index_t>& rows, std::int64_t total_rows) {
  Groups groups(Groups::size(rows), total_rows);
  build(rows, groups, false);
  require_groups(rows, groups);
}

}  // namespace

TEST_CASE("A batch's rows are grouped as an ordered map groups them, for every size of one block", "[exhaustive]") {
  for (const std::int64_t size : dream_test::sizes<std::int64_t>(
           {0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 1023, 1024, 1025, 4095, 4096, 4097}))
    for (const std::int64_t total_rows : {1, 255, 256, 70000}) {
      if (size > 300 && total_rows < 256) continue;
      const auto seed = static_cast<std::uint64_t>(size * 31 + total_rows);
      check(random_rows(size, total_rows, seed), total_rows);
    }
  check(random_rows(16384, 19445, 1), 19445);
}

TEST_CASE("A batch's rows are grouped as an ordered map groups them, for sizes of several blocks") {
  check(random_rows(16385, 70000, 2), 70000);
  check(random_rows(20000, 300, 3), 300);
  check(random_rows(20480, 1, 4), 1);
}

TEST_CASE("A batch of 131072 rows of millions is grouped", "[exhaustive]") {
  check(random_rows(131072, 3000000, 5), 3000000);
}

TEST_CASE("One row for the whole batch is one group, all rows once are as many") {
  for (const std::int64_t size : {1000, 5000, 17000}) {
    check(std::vector<index_t>(static_cast<std::size_t>(size), 77), 100);
    std::vector<index_t> falling(static_cast<std::size_t>(size));
    for (std::size_t k = 0; k < falling.size(); ++k) falling[k] = static_cast<index_t>(falling.size() - 1 - k);
    check(falling, size);
  }
}

TEST_CASE("Rows outside the matrix belong to no group and write nowhere") {
  constexpr index_t lowest = std::numeric_limits<index_t>::lowest(), highest = std::numeric_limits<index_t>::max();
  for (const std::int64_t size : {1, 5000, 17000}) {
    std::vector<index_t> rows = random_rows(size, 300, 6);
    const index_t bad[] = {-1, 300, lowest, highest, 65536, 1 << 24};
    for (std::size_t k = 0; k < rows.size(); k += 3) rows[k] = bad[k / 3 % 6];
    check(rows, 300);
    check(std::vector<index_t>(rows.size(), -1), 300);
    check(std::vector<index_t>(rows.size(), 300), 300);
    check(std::vector<index_t>(rows.size(), 0), 0);
  }
}

TEST_CASE("Batch after batch, places are put back without a pass over them") {
  constexpr std::int64_t total_rows = 40000, room = 17000;
  Groups groups(room, total_rows);
  bool built_before = false;
  for (const std::int64_t size : {300, 17000, 5000, 0, 17000, 1}) {
    const std::vector<index_t> rows = random_rows(size, total_rows, static_cast<std::uint64_t>(100 + size));
    build(rows, groups, built_before);
    require_groups(rows, groups);
    built_before = true;
  }
}

TEST_CASE("Memory that held no groups makes putting places back write nowhere else") {
  Groups groups(100, 50);
  groups.count[0] = 1 << 30;
  for (std::size_t g = 0; g < groups.group_rows.size(); ++g)
    groups.group_rows[g] = static_cast<index_t>(g * 1000003) - 1000;
  build(random_rows(100, 50, 9), groups, true);
  REQUIRE(groups.count[0] > 0);
}

TEST_CASE("A pass of the sort takes eight bits of what row numbers, and one more for none, need") {
  REQUIRE(row_groups_passes(0) == 1);
  REQUIRE(row_groups_passes(255) == 1);
  REQUIRE(row_groups_passes(256) == 2);
  REQUIRE(row_groups_passes(65535) == 2);
  REQUIRE(row_groups_passes((1 << 24) - 1) == 3);
  REQUIRE(row_groups_passes(1 << 24) == 4);
  REQUIRE(row_groups_passes(std::numeric_limits<index_t>::max()) == 4);
}

TEST_CASE("One block needs no workspace, several need two buffers and their counts") {
  REQUIRE(row_groups_workspace(0) == 0);
  REQUIRE(row_groups_workspace(16384) == 0);
  REQUIRE(row_groups_workspace(16385) == 2 * 16385 + (5 * 257 + 1) / 2);
}

TEST_CASE("The first row outside its matrix is found, wherever it stands") {
  for (const std::int64_t size :
       dream_test::sizes<std::int64_t>({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 4097})) {
    const auto first_bad = [&](const std::vector<index_t>& rows) {
      index_t found = -7;
      const KernelReport report = check_kernel<CheckRows>([&](KernelBuffers& use) {
        return CheckRows::Params{use.input(VectorView<const index_t>{rows.data(), Groups::size(rows)}), 300,
                                 use.output(&found, 1)};
      });
      REQUIRE(report.text() == "");
      return found;
    };
    std::vector<index_t> rows = random_rows(size, 300, 7);
    REQUIRE(first_bad(rows) == -1);
    if (size == 0) continue;
    rows.back() = 300;
    REQUIRE(first_bad(rows) == static_cast<index_t>(size - 1));
    rows[rows.size() / 2] = -1;
    REQUIRE(first_bad(rows) == static_cast<index_t>(rows.size() / 2));
    rows[0] = std::numeric_limits<index_t>::max();
    REQUIRE(first_bad(rows) == 0);
  }
}

}  // namespace dream_tests::kernels_row_groups
