// File names that are made of numbers alone: `0000000042.segment`.
#ifndef LAMINA_TENSORLOG_NUMBERED_FILE_H_
#define LAMINA_TENSORLOG_NUMBERED_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lamina {

// Ten digits or more, with leading zeros, so that names sort as numbers do.
std::string TenDigits(uint64_t number) noexcept;

// Whether `name` is what TenDigits makes of a number, followed by `suffix`.
bool ParseNumberedFile(std::string_view name, std::string_view suffix, uint64_t* number) noexcept;

}  // namespace lamina

#endif  // LAMINA_TENSORLOG_NUMBERED_FILE_H_
