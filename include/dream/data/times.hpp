// Times in text: numbers with any number of decimals and ISO dates, compared exactly, as whole numbers of their order.
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>

namespace dream::detail {

/// A decimal number without rounding: `whole` is its floor, `fraction` the decimals above it, without zeros at the end.
struct ExactTime {
  std::int64_t whole = 0;
  std::string fraction{};

  friend auto operator<=>(const ExactTime&, const ExactTime&) = default;  // NOLINT(modernize-use-nullptr)
};

/// A decimal number, such as -7.75 or 1.5e3, of magnitude below 9e18.
inline std::optional<ExactTime> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  text.remove_prefix(negative);
  std::string digits;
  std::int64_t point = -1, exponent = 0;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] >= '0' && text[at] <= '9') {
      digits += text[at];
    } else if (text[at] == '.' && point < 0) {
      point = static_cast<std::int64_t>(digits.size());
    } else {
      break;
    }
  }
  if (digits.empty()) return std::nullopt;
  if (at < text.size()) {
    if (text[at] != 'e' && text[at] != 'E') return std::nullopt;
    std::string_view power = text.substr(at + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    const auto [end, code] = std::from_chars(power.data(), power.data() + power.size(), exponent);
    if (code != std::errc{} || end != power.data() + power.size() || std::abs(exponent) > 400) return std::nullopt;
  }
  point = (point < 0 ? static_cast<std::int64_t>(digits.size()) : point) + exponent;
  if (point < 0) digits.insert(0, static_cast<std::size_t>(-point), '0');
  point = std::max<std::int64_t>(point, 0);
  if (static_cast<std::size_t>(point) > digits.size()) digits.resize(static_cast<std::size_t>(point), '0');
  ExactTime time;
  if (point > 0) {
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + point, time.whole);
    if (code != std::errc{} || time.whole >= 9'000'000'000'000'000'000) return std::nullopt;
  }
  time.fraction = digits.substr(static_cast<std::size_t>(point));
  while (time.fraction.ends_with('0')) time.fraction.pop_back();
  if (!negative) return time;
  time.whole = -time.whole - !time.fraction.empty();
  for (char& c : time.fraction) c = static_cast<char>('0' + '9' - c);
  if (!time.fraction.empty()) ++time.fraction.back();  // the last decimal is not 0, so this is at most 9
  return time;
}

/// A date, 2023-01-31, perhaps with a time, T12:34:56 or with a blank, with decimals and a zone, Z or +01:00. In
/// seconds since 1970; without a zone in UTC.
inline std::optional<ExactTime> parse_date(std::string_view text) {
  const auto number = [&text](std::size_t digits, int& out) {
    if (text.size() < digits || text.substr(0, digits).find_first_not_of("0123456789") != std::string_view::npos)
      return false;
    std::from_chars(text.data(), text.data() + digits, out);
    text.remove_prefix(digits);
    return true;
  };
  const auto skip = [&text](char c) {
    const bool there = text.starts_with(c);
    text.remove_prefix(there);
    return there;
  };
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zone_hour = 0, zone_minute = 0;
  if (!number(4, year) || !skip('-') || !number(2, month) || !skip('-') || !number(2, day)) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  ExactTime time;
  if (!text.empty()) {
    if (!skip('T') && !skip(' ')) return std::nullopt;
    if (!number(2, hour) || !skip(':') || !number(2, minute) || (skip(':') && !number(2, second)) || hour > 23 ||
        minute > 59 || second > 60)
      return std::nullopt;
    if (skip('.')) {
      time.fraction = text.substr(0, text.find_first_not_of("0123456789"));
      if (time.fraction.empty()) return std::nullopt;
      text.remove_prefix(time.fraction.size());
      while (time.fraction.ends_with('0')) time.fraction.pop_back();
    }
    const int sign = text.starts_with('-') ? -1 : 1;
    if (!skip('Z') && (skip('+') || skip('-')) &&
        (!number(2, zone_hour) || (skip(':'), !number(2, zone_minute)) || zone_hour > 23 || zone_minute > 59))
      return std::nullopt;
    if (!text.empty()) return std::nullopt;
    second -= sign * (zone_hour * 3600 + zone_minute * 60);
  }
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  time.whole = days * 86400 + hour * 3600 + minute * 60 + second;
  return time;
}

/// A whole number in the order of real ones.
inline std::int64_t ordered_number(double value) {
  const std::int64_t bits = std::bit_cast<std::int64_t>(value + 0.0);  // -0 becomes 0
  return bits ^ ((bits >> 63) & std::numeric_limits<std::int64_t>::max());
}

/// The times of a table in file order.
class TimeColumn {
 public:
  void reserve(std::size_t rows) { whole_.reserve(rows); }

  void add(std::int64_t whole) {
    whole_.push_back(whole);
    if (!fraction_.empty()) fraction_.emplace_back();
  }
  /// Adds the time that a field holds; false where it holds none. Numbers and dates cannot be compared, so a file has
  /// one of them.
  bool add(std::string_view text) {
    std::optional<ExactTime> time = parse_decimal(text);
    const bool date = !time;
    if (date) time = parse_date(text);
    if (!time || (!whole_.empty() && date != dates_)) return false;
    dates_ = date;
    if (fraction_.empty() && !time->fraction.empty()) fraction_.resize(whole_.size());
    whole_.push_back(time->whole);
    if (!fraction_.empty() || !time->fraction.empty()) fraction_.push_back(std::move(time->fraction));
    return true;
  }
  bool dates() const { return dates_; }

  /// Whether these are ratings rather: from -10 to 10, or to 100 with each value often.
  bool look_like_ratings() const {
    if (whole_.empty() || dates_) return false;
    const auto [lowest, highest] = std::minmax_element(whole_.begin(), whole_.end());
    if (*lowest < -10 || *highest > 100) return false;
    std::set<std::pair<std::int64_t, std::string_view>> different;
    for (std::size_t i = 0; i < whole_.size(); ++i)
      different.emplace(whole_[i], fraction_.empty() ? std::string_view{} : std::string_view(fraction_[i]));
    return *highest <= 10 || 10 * different.size() <= whole_.size();
  }

  /// Of the numbers in_order() gave, the smallest one of a time from `text` on, and above all where there is none.
  /// Nothing where the text is no time of the column's kind.
  std::optional<std::int64_t> first_from(std::string_view text, const std::vector<std::int64_t>& in_order) const {
    const auto cut = dates_ ? parse_date(text) : parse_decimal(text);
    if (!cut) return std::nullopt;
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < whole_.size(); ++i)
      if (ExactTime{whole_[i], fraction_.empty() ? "" : fraction_[i]} >= *cut) first = std::min(first, in_order[i]);
    return first;
  }

  /// Whole numbers of the same order: the times themselves; where any has a fraction, their doubles as ordered_number,
  /// and where doubles cannot tell some apart, their ranks.
  std::vector<std::int64_t> in_order() const {
    if (fraction_.empty()) return whole_;
    std::vector<std::int64_t> out(whole_.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = ordered_number(as_double(i));
    std::vector<std::size_t> order(out.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto key = [this](std::size_t i) { return std::tie(whole_[i], fraction_[i]); };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    const auto later = [&](std::size_t at) { return key(order[at - 1]) < key(order[at]); };
    bool kept = true;
    for (std::size_t at = 1; kept && at < order.size(); ++at)
      kept = later(at) ? out[order[at - 1]] < out[order[at]] : out[order[at - 1]] == out[order[at]];
    std::int64_t rank = 0;
    for (std::size_t at = 0; !kept && at < order.size(); ++at) {
      rank += at > 0 && later(at);
      out[order[at]] = rank;
    }
    return out;
  }

 private:
  /// The double nearest to the decimal text.
  double as_double(std::size_t i) const {
    std::string text = fraction_[i].empty() ? std::to_string(whole_[i]) : "";
    if (text.empty() && whole_[i] >= 0) text = concat(whole_[i], '.', fraction_[i]);
    if (text.empty()) {  // back from the floor
      std::string decimals = fraction_[i];
      for (char& c : decimals) c = static_cast<char>('0' + '9' - c);
      ++decimals.back();
      text = concat('-', -(whole_[i] + 1), '.', decimals);
    }
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }

  std::vector<std::int64_t> whole_;
  std::vector<std::string> fraction_;  ///< empty, or as long as whole_
  bool dates_ = false;
};

}  // namespace dream::detail
