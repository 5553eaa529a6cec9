// NumPy .npz files: zip archives of .npy files. One array that is stored as it is, as np.savez does, is read; packed
// ones would need another library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/npy.hpp>

namespace dream {

namespace detail {

/// A zip archive in memory, by its central directory (APPNOTE.TXT 4.3, with the 64-bit extensions).
class ZipArchive {
 public:
  struct Member {
    std::string name;
    std::uint64_t method = 0, flags = 0;  ///< method 0: stored
    std::uint64_t size = 0;               ///< in the archive
    std::uint64_t header = 0;             ///< where the member's own header lies
  };

  ZipArchive(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {
    // The end record is the last thing but a comment of at most 65535 bytes.
    std::size_t end = bytes.rfind("PK\x05\x06");
    if (end == std::string_view::npos || bytes.size() - end < 22)
      fail(path, ": byte ", bytes.size(), ": found no end of a zip archive, expected a whole .npz file");
    std::uint64_t count = number(end + 10, 2), at = number(end + 16, 4);
    if (end >= 20 && bytes.substr(end - 20, 4) == "PK\x06\x07") {
      const std::uint64_t wide = number(end - 12, 8);
      expect(wide, "PK\x06\x06", "the 64-bit end record");
      count = number(wide + 32, 8);
      at = number(wide + 48, 8);
    }
    for (; count > 0; --count) {
      expect(at, "PK\x01\x02", "an entry of the directory");
      Member& member = members_.emplace_back();
      member.flags = number(at + 8, 2);
      member.method = number(at + 10, 2);
      const std::uint64_t name = number(at + 28, 2), extra = number(at + 30, 2), comment = number(at + 32, 2);
      member.name = piece(at + 46, name);
      member.size = number(at + 20, 4);
      member.header = number(at + 42, 4);
      read_wide(at, name, extra, member);
      at += 46 + name + extra + comment;
    }
  }

  const std::vector<Member>& members() const { return members_; }

  std::string_view content(const Member& member) const {
    expect(member.header, "PK\x03\x04", "the header of a member");
    const std::uint64_t name = number(member.header + 26, 2), extra = number(member.header + 28, 2);
    return piece(member.header + 30 + name + extra, member.size);
  }

 private:
  std::string_view piece(std::uint64_t at, std::uint64_t length) const {
    if (at > bytes_.size() || length > bytes_.size() - at)
      fail(path_, ": byte ", bytes_.size(), ": found the end of the file, expected ", length, " bytes from byte ", at,
           " on");
    return bytes_.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(length));
  }
  std::uint64_t number(std::uint64_t at, std::size_t width) const {
    const std::string_view digits = piece(at, width);
    std::uint64_t value = 0;
    for (std::size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    return value;
  }
  void expect(std::uint64_t at, std::string_view signature, const char* what) const {
    if (piece(at, signature.size()) != signature)
      fail(path_, ": byte ", at, ": found other bytes, expected ", what, " of a zip archive");
  }
  /// Numbers that do not fit into 32 bits stand in the entry's extra field 1, in this order.
  void read_wide(std::uint64_t at, std::uint64_t name, std::uint64_t extra, Member& member) const {
    constexpr std::uint64_t elsewhere = 0xffffffff;
    std::uint64_t plain = number(at + 24, 4);
    for (std::uint64_t field = at + 46 + name, end = field + extra; field + 4 <= end;) {
      const std::uint64_t kind = number(field, 2), length = number(field + 2, 2);
      std::uint64_t next = field + 4;
      field += 4 + length;
      for (std::uint64_t* value : {&plain, &member.size, &member.header}) {
        if (kind != 1 || *value != elsewhere || next + 8 > field) continue;
        *value = number(next, 8);
        next += 8;
      }
    }
  }

  const std::string& path_;
  std::string_view bytes_;
  std::vector<Member> members_;
};

}  // namespace detail

/// Reads the only array of an .npz file, as read_npy does. Several arrays, none, or a packed one are errors.
inline NpyMatrix read_npz(const std::string& path) {
  const FileBytes file(path);
  if (file.text().substr(0, 2) != "PK") fail(path, ": byte 0: found no zip archive, expected an .npz file");
  const detail::ZipArchive archive(path, file.text());
  const auto& members = archive.members();
  const auto array_of = [](const std::string& member) {
    return member.ends_with(".npy") ? member.substr(0, member.size() - 4) : member;
  };
  std::string names;
  for (const auto& member : members) names += concat(names.empty() ? "" : ", ", array_of(member.name));
  if (members.size() != 1)
    fail(path, ": found ", members.size(), " arrays", names.empty() ? "" : ": ", names,
         ", expected one (a file WHAT_feat.npy for each modality)");
  const auto& member = members[0];
  if (member.method != 0 || member.flags % 2 != 0) {
    const std::string name = std::filesystem::path(path).filename().string();
    fail(path, ": the array '", names, "' is ", member.flags % 2 != 0 ? "encrypted" : "compressed",
         ", expected it as it is (np.savez('", name, "', np.load('", name, "')['", names, "']) stores it so)");
  }
  return detail::parse_npy(concat(path, ": ", member.name), detail::BytesInMemory{archive.content(member)});
}

}  // namespace dream
