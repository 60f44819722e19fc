// Numbers, bytes and keys as text, and back. Pure.
#ifndef LAMINA_TOOLS_COMMON_TEXT_H_
#define LAMINA_TOOLS_COMMON_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lamina::tools {

// Two lower-case digits a byte.
std::string HexOf(std::string_view bytes);
// Always 16, or 8, digits.
std::string HexOf64(uint64_t value);
std::string HexOf32(uint32_t value);
// The bytes that such digits stand for, in either case. '|' between them is skipped, so that keys
// can be pasted from messages. Nothing if a digit is missing or is none.
std::optional<std::string> BytesOfHex(std::string_view text);

// "17 bytes", "48.0 KiB", "1.2 GiB": at most four digits, of 1024.
std::string HumanBytes(uint64_t bytes);
// "1,234,567".
std::string HumanCount(uint64_t count);
// "1 block", "1,234 blocks"; "2 entries" where the plural is given.
std::string Counted(uint64_t count, std::string_view noun, std::string_view plural = {});

// The text with control characters and backslashes written as \xNN, so that a name from a disk
// cannot steer a terminal.
std::string Printable(std::string_view text);

}  // namespace lamina::tools

#endif  // LAMINA_TOOLS_COMMON_TEXT_H_
