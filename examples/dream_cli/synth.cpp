#include <charconv>
#include <cstdio>

#include <dream/data/synthetic.hpp>
#include <dream/data/write_dataset.hpp>

#include "commands.hpp"

namespace dream_cli {

namespace {

/// "image=64"
dream::SyntheticModality parse_modality(const std::string& text) {
  const std::size_t equals = text.find('=');
  dream::index_t cols = 0;
  if (equals != std::string::npos && equals > 0) {
    const char *begin = text.data() + equals + 1, *end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(begin, end, cols);
    if (code != std::errc() || stop != end) cols = 0;
  }
  DREAM_EXPECT(cols > 0, "--modality ", text, ": expected NAME=COLUMNS, as in image=64");
  return {text.substr(0, equals), cols};
}

}  // namespace

int synth(const SynthArguments& arguments) {
  const auto existing = arguments.replace ? dream::Existing::replace : dream::Existing::refuse;
  dream::expect_room_for_dataset(arguments.out, existing);
  dream::SyntheticOptions options;
  options.users = static_cast<dream::index_t>(arguments.users);
  options.items = static_cast<dream::index_t>(arguments.items);
  options.interactions = arguments.interactions > 0 ? arguments.interactions : 20 * arguments.users;
  options.cold_fraction = arguments.cold_fraction;
  options.missing_fraction = arguments.missing_fraction;
  options.noise = arguments.noise;
  options.groups = arguments.groups;
  options.seed = static_cast<std::uint64_t>(arguments.seed);
  if (!arguments.modalities.empty()) options.modalities.clear();
  for (const std::string& text : arguments.modalities) {
    if (text != "none") options.modalities.push_back(parse_modality(text));
  }
  const dream::Dataset data = dream::make_synthetic(options);
  dream::write_dataset(data, arguments.out, existing);
  std::printf("%s: %d users, %d items, %lld / %lld / %lld interactions (train / valid / test)", arguments.out.c_str(),
              data.user_count(), data.item_count(), static_cast<long long>(data.train.size()),
              static_cast<long long>(data.valid.size()), static_cast<long long>(data.test.size()));
  for (const dream::Modality& m : data.modalities) std::printf(", %s %d columns", m.name.c_str(), m.cols);
  std::printf("\n");
  return Exit::success;
}

}  // namespace dream_cli
