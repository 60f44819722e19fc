#include "engine/store/policy_file.h"

#include <span>

#include "tensorlog/numbered_file.h"

namespace lamina {
namespace {

constexpr std::string_view kSuffix = ".policy";
// Records of 10^8 pages; bounds what a damaged size can make a reader allocate.
constexpr uint64_t kMaxBytes = uint64_t{4} << 30;

}  // namespace

std::string PolicyFileName(uint64_t number) noexcept {
  return TenDigits(number) + std::string(kSuffix);
}

bool ParsePolicyFileName(std::string_view name, uint64_t* number) noexcept {
  return ParseNumberedFile(name, kSuffix, number);
}

Status WritePolicyFile(FileSystem& fs, const std::string& path, std::string_view state) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          fs.Open(path, {.write = true, .create = true, .truncate = true}));
  LAMINA_RETURN_IF_ERROR(file->Write(0, std::as_bytes(std::span(state))));
  return file->Sync();
}

Result<std::string> ReadPolicyFile(FileSystem& fs, const std::string& path) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > kMaxBytes) {
    return Status::Corruption(path + ": has " + std::to_string(size) +
                              " bytes, more than any saved policy");
  }
  std::string state(size, '\0');
  LAMINA_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(state))));
  return state;
}

}  // namespace lamina
