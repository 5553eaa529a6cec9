// Files that name users and items for the serving commands.
#pragma once

#include <string>
#include <vector>

#include <dream/data/ids.hpp>

namespace dream_cli {

/// The rows of the users or items (`what`) in a file of one id a line, in its order, each once. An id that `ids` does
/// not have is an error with `strict`, and otherwise listed on standard error with its line; a file of none that it has
/// is an error. A first line that is the name of such a column is a header.
std::vector<dream::index_t> read_id_file(const std::string& path, const dream::IdMap& ids, const std::string& what,
                                         bool strict);

/// Users of a file, in its order, with the items that they have, each pair once.
struct Histories {
  dream::IdMap users;
  dream::Pairs pairs;
};

/// Reads lines `user item`, separated by blanks, TABs or commas, with or without a header. Unknown items are as above;
/// a user of whom no item is known has no items.
Histories read_histories(const std::string& path, const dream::IdMap& item_ids, bool strict);

}  // namespace dream_cli
