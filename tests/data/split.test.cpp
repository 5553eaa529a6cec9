#include <dream/data/split.hpp>

#include <set>

#include "support/catch.hpp"

namespace dream_tests::data_split {

using dream::index_t;
using Labels = std::vector<std::uint8_t>;
using Sizes = std::array<std::int64_t, 3>;

namespace {

constexpr std::array<double, 3> usual{0.8, 0.1, 0.1};

/// `n` interactions of `users` users, in turns of uneven length.
std::vector<index_t> some_users(std::size_t n, index_t users) {
  std::vector<index_t> user(n);
  for (std::size_t i = 0; i < n; ++i) user[i] = static_cast<index_t>(i * i % static_cast<std::size_t>(users));
  return user;
}

}  // namespace

TEST_CASE("split sizes follow RecBole's rule") {
  REQUIRE(dream::split_sizes(0, usual) == Sizes{0, 0, 0});
  REQUIRE(dream::split_sizes(1, usual) == Sizes{1, 0, 0});
  REQUIRE(dream::split_sizes(2, usual) == Sizes{1, 0, 1});
  REQUIRE(dream::split_sizes(3, usual) == Sizes{1, 1, 1});
  REQUIRE(dream::split_sizes(9, usual) == Sizes{7, 1, 1});
  REQUIRE(dream::split_sizes(10, usual) == Sizes{8, 1, 1});
  REQUIRE(dream::split_sizes(19, usual) == Sizes{17, 1, 1});
  for (std::int64_t tens = 1; tens < 1000; ++tens)
    REQUIRE(dream::split_sizes(10 * tens, usual) == Sizes{8 * tens, tens, tens});
  REQUIRE(dream::split_sizes(10, {8, 1, 1}) == Sizes{8, 1, 1});
  REQUIRE(dream::split_sizes(5, {0.9, 0.1, 0.0}) == Sizes{4, 1, 0});
  REQUIRE(dream::split_sizes(5, {1, 0, 0}) == Sizes{5, 0, 0});
  REQUIRE_ERROR(dream::split_sizes(5, {0, 0.5, 0.5}), "train must be positive");
  REQUIRE_ERROR(dream::split_sizes(5, {0.8, -0.1, 0.1}), "found -0.1");
  REQUIRE_ERROR(dream::split_sizes(5, {0.8, NAN, 0.1}), "finite");
}

TEST_CASE("a random split gives every user the sizes of the rule, and the seed decides the rest") {
  const auto user = some_users(5000, 100);
  const Labels labels = dream::split_random(user, 100, usual, 1);
  std::vector<Sizes> sizes(100, Sizes{});
  for (std::size_t i = 0; i < user.size(); ++i) ++sizes[static_cast<std::size_t>(user[i])][labels[i]];
  for (const Sizes& s : sizes) REQUIRE(s == dream::split_sizes(s[0] + s[1] + s[2], usual));
  REQUIRE(labels == dream::split_random(user, 100, usual, 1));
  REQUIRE(labels != dream::split_random(user, 100, usual, 2));
}

TEST_CASE("every position of a user is equally likely to be in test") {
  const std::vector<index_t> user(10, 0);
  std::vector<int> counts(10, 0);
  const int rounds = 20000;
  for (std::uint64_t seed = 0; seed < rounds; ++seed) {
    const Labels labels = dream::split_random(user, 1, usual, seed);
    for (std::size_t j = 0; j < 10; ++j) counts[j] += labels[j] == 2;
  }
  for (const int count : counts) REQUIRE(std::abs(count - rounds / 10) < 5 * std::sqrt(rounds * 0.09));  // 5 sigma
}

TEST_CASE("a split by time puts a user's newest interactions into test, equal times by position") {
  const std::vector<index_t> user{0, 1, 0, 0, 0, 1, 1, 0};
  const std::vector<std::int64_t> time{50, -3, 10, 40, 40, 9, 9, 20};
  REQUIRE(dream::split_by_time(user, 3, time, {0.6, 0.2, 0.2}) == Labels{2, 0, 0, 0, 1, 1, 2, 0});
  REQUIRE_ERROR(dream::split_by_time(user, 2, {}, usual), "0 timestamps for 8 interactions");
}

TEST_CASE("leaving the last out takes the newest for test, the second newest for valid, and leaves one to train") {
  const std::vector<index_t> user{0, 0, 0, 0, 1, 1, 2};
  const std::vector<std::int64_t> time{4, 9, 9, 1, 5, 5, 3};
  REQUIRE(dream::split_last(user, 3, time) == Labels{0, 1, 2, 0, 0, 2, 0});
  REQUIRE(dream::split_last({}, 0, {}).empty());
  REQUIRE_ERROR(dream::split_last(user, 3, {}), "0 timestamps for 7 interactions");
}

TEST_CASE("a split by date cuts all users at the same times") {
  const std::vector<std::int64_t> time{4, 9, 10, -1, 5, 12};
  REQUIRE(dream::split_by_date(time, 5, 10) == Labels{0, 1, 2, 0, 1, 2});
  REQUIRE(dream::split_by_date(time, 10, 10) == Labels{0, 0, 2, 0, 0, 2});
}

TEST_CASE("valid is carved out of train only") {
  const auto user = some_users(3000, 50);
  Labels labels(user.size());
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = i % 5 == 0 ? 2 : 0;
  Labels carved = labels;
  dream::carve_valid(user, 50, usual, 999, carved);
  std::vector<Sizes> sizes(50, Sizes{});
  for (std::size_t i = 0; i < user.size(); ++i) {
    REQUIRE((carved[i] == 2) == (labels[i] == 2));
    ++sizes[static_cast<std::size_t>(user[i])][carved[i]];
  }
  for (const Sizes& s : sizes) {
    const Sizes expected = dream::split_sizes(s[0] + s[1], {0.8, 0.1, 0.0});
    REQUIRE(s[1] == expected[1]);
  }
}

}  // namespace dream_tests::data_split
