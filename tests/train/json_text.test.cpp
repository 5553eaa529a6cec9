#include <dream/train/json_text.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace dream_tests::train_json_text {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

double seconds_of(const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(dream::parse_json(text, "wide").is_discarded());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("JSON is read down to 64 levels, and deeper nesting is an error with the place") {
  for (const auto& [open, close] : {std::pair{"[", "]"}, {"{\"a\":", "}"}, {"[{\"[\":", "}]"}}) {
    const int levels = std::string(open).front() == '[' && std::string(open).size() > 1 ? 2 : 1;
    const auto nested = [&, o = std::string(open), c = std::string(close)](int times) {
      return repeated(o, times) + "0" + repeated(c, times);
    };
    CHECK_FALSE(dream::parse_json(nested(64 / levels), "f").is_discarded());
    CHECK_FALSE(dream::parse_json<ordered_json>(nested(64 / levels), "f").is_discarded());
    REQUIRE_ERROR(dream::parse_json(nested(65), "f.json"), "JSON nested deeper than 64 levels");
    REQUIRE_ERROR(dream::parse_json<ordered_json>(nested(100000), "f.json"), "f.json: byte ");
    REQUIRE_ERROR(dream::parse_json(repeated(open, 100000), "f.json"), "f.json: byte ");  // without an end
  }
  // Brackets in texts are no nesting, also behind an escaped quote; and there may be many lists beside each other.
  CHECK(dream::parse_json("[\"" + repeated("[", 1000) + "\\\"" + repeated("{", 1000) + "\\\\\"]", "f").size() == 1);
  CHECK(dream::parse_json("[" + repeated("[[]],", 1000) + "[]]", "f").size() == 1001);
}

TEST_CASE("wide JSON is read in time linear in its length") {
  const std::string list = "[" + repeated("{},", 300000) + "{}]";  // with a callback of the parser: a minute
  CHECK(seconds_of(list) < 5);
  std::string keys = "{";
  for (int i = 0; i < 5000; ++i) keys += "\"" + std::to_string(i) + "\":0,";
  keys.back() = '}';
  CHECK(dream::parse_json(keys, "f").size() == 5000);
  REQUIRE_ERROR(dream::parse_json<ordered_json>(keys, "f.json"), "an object with more than 4096 keys");
  CHECK(dream::parse_json<ordered_json>("[" + repeated("{\"a\":0},", 5000) + "0]", "f").size() == 5001);
}

TEST_CASE("what is not JSON has a fault with byte and line") {
  const auto fault_of = [](const std::string& text) {
    dream::JsonFault fault;
    CHECK(dream::parse_json(text, "f", &fault).is_discarded());
    return fault;
  };
  CHECK(fault_of("").byte == 0);
  CHECK(fault_of("{\"a\":\n}").line == 2);
  CHECK(fault_of("{\"a\":\n}").byte == 6);
  CHECK(std::string(fault_of("{} x").reason) == "not JSON");
  CHECK(std::string(fault_of("[\n1,\n1e999]").reason) == "a number is too large");
  CHECK(fault_of("[\n1,\n1e999]").line == 3);
  for (const char* text : {"]]]]", "}{", "\"", "\"\\", "{\"a\\", "[,]", "\xff", "{\"a\" 1}"})
    CHECK(fault_of(text).line == 1);
}

TEST_CASE("the keys of a JSON text come in its order, each with its level, object and line") {
  const std::string text =
      "{\"a\": [{\"b\": \"x\", \"c\\\"\": {}},\n{\"b\": [\"t\", 1]}],\n\"a\": {\"\\u0064\": null}}";
  REQUIRE_FALSE(dream::parse_json(text, "f").is_discarded());
  std::vector<std::string> names;
  std::vector<std::size_t> levels, objects;
  std::vector<int> lines;
  dream::for_json_keys(text, "f", [&](const dream::JsonKey& key) {
    names.push_back(key.name());
    levels.push_back(key.level);
    objects.push_back(key.object);
    lines.push_back(key.line);
  });
  CHECK(names == std::vector<std::string>{"a", "b", "c\"", "b", "a", "d"});
  CHECK(levels == std::vector<std::size_t>{1, 3, 3, 3, 1, 2});
  CHECK(lines == std::vector<int>{1, 1, 1, 2, 3, 3});
  CHECK(objects[0] == objects[4]);
  CHECK(objects[1] == objects[2]);
  CHECK(objects[1] != objects[3]);
}

}  // namespace dream_tests::train_json_text
