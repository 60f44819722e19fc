// Sizes as options and tools write them: 123, 64K, 1M, 2G, 1T, by powers of 1024.
#ifndef LAMINA_ENGINE_BASE_SIZE_TEXT_H_
#define LAMINA_ENGINE_BASE_SIZE_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lamina {

// False, and `value` as it was, for anything else, and for what does not fit 64 bits.
bool ParseSize(std::string_view text, uint64_t* value) noexcept;
// The shortest such text.
std::string SizeText(uint64_t value) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_SIZE_TEXT_H_
