#include "engine/store/manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/mutation.h"
#include "engine/store/manifest_format.h"

namespace lamina {
namespace {

constexpr std::string_view kManifestPrefix = "MANIFEST-";
constexpr char kTemporarySuffix[] = ".tmp";
// CURRENT is one short line; anything longer is not ours.
constexpr uint64_t kMaxCurrentBytes = 256;
// No manifest gets this large (it is rewritten at kManifestRewriteBytes); bounds what a damaged
// size makes us read.
constexpr uint64_t kMaxManifestBytes = uint64_t{4} << 30;

std::string Hex64(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

uint64_t HeaderChecksum(const ManifestHeader& header) {
  return XXH3_64bits(&header, offsetof(ManifestHeader, checksum));
}

size_t PaddedLength(size_t length) { return (length + 7) / 8 * 8; }

std::string EncodeRecord(const ManifestEdit& edit, uint64_t number) {
  std::string payload;
  edit.EncodeTo(&payload);
  const ManifestRecordHeader header = {
      kManifestRecordMagic, static_cast<uint32_t>(payload.size()),
      XXH3_64bits_withSeed(payload.data(), payload.size(), number)};
  std::string record(reinterpret_cast<const char*>(&header), sizeof header);
  record += payload;
  record.resize(sizeof header + PaddedLength(payload.size()), '\0');
  return record;
}

// The payload of record `number` at `offset`, or nothing when there is no valid one.
std::optional<std::string_view> RecordAt(std::string_view file, uint64_t offset, uint64_t number) {
  ManifestRecordHeader header;
  if (file.size() - offset < sizeof header) return std::nullopt;
  std::memcpy(&header, file.data() + offset, sizeof header);
  const uint64_t room = file.size() - offset - sizeof header;
  if (header.magic != kManifestRecordMagic || PaddedLength(header.length) > room)
    return std::nullopt;
  const std::string_view payload = file.substr(offset + sizeof header, header.length);
  if (XXH3_64bits_withSeed(payload.data(), payload.size(), number) != header.checksum &&
      !Mutated(Mutation::kIgnoreManifestChecksum))
    return std::nullopt;
  // Padding is covered too: a flipped bit there is damage like any other.
  const std::string_view padding = file.substr(offset + sizeof header + header.length,
                                               PaddedLength(header.length) - header.length);
  if (padding.find_first_not_of('\0') != std::string_view::npos) return std::nullopt;
  return payload;
}

// Whether a valid record follows an invalid one at `offset`. Its number is not known for sure:
// those that were lost in between may be few or many, but no more than fit.
bool ValidRecordFollows(std::string_view file, uint64_t offset, uint64_t number) {
  constexpr uint64_t kMostLost = 16;
  for (uint64_t at = offset + 8; at + sizeof(ManifestRecordHeader) <= file.size(); at += 8) {
    uint32_t magic;
    std::memcpy(&magic, file.data() + at, sizeof magic);
    if (magic != kManifestRecordMagic) continue;
    for (uint64_t lost = 1; lost <= kMostLost; ++lost) {
      if (RecordAt(file, at, number + lost)) return true;
    }
  }
  return false;
}

Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  LAMINA_ASSIGN_OR_RETURN(auto file, fs.Open(path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > max_bytes) {
    return Status::Corruption(path + ": has " + std::to_string(size) + " bytes, expected at most " +
                              std::to_string(max_bytes));
  }
  std::string bytes(size, '\0');
  LAMINA_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

// The name of the current manifest.
Result<std::string> ReadCurrent(FileSystem& fs, const std::string& directory) {
  const std::string path = directory + "/" + kCurrentFileName;
  LAMINA_ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) {
    return Status::InvalidArgument(directory + ": holds no store (there is no file " +
                                   kCurrentFileName + ")");
  }
  LAMINA_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(fs, path, kMaxCurrentBytes));
  const size_t space = text.find(' ');
  uint64_t number = 0;
  if (space != std::string::npos) {
    const std::string name = text.substr(0, space);
    if (ParseManifestFileName(name, &number) &&
        text == name + " " + Hex64(XXH3_64bits(name.data(), name.size())) + "\n")
      return name;
  }
  return Status::Corruption(path + ": expected a manifest's name and its checksum, found '" +
                            text.substr(0, 64) + "'");
}

Status CheckHeader(const std::string& path, std::string_view bytes, uint64_t number,
                   ManifestHeader* header) {
  if (bytes.size() < sizeof *header) {
    return Status::Corruption(path + ": header at offset 0: expected 64 bytes, found " +
                              std::to_string(bytes.size()));
  }
  std::memcpy(header, bytes.data(), sizeof *header);
  if (header->magic != kManifestMagic) {
    return Status::Corruption(path + ": magic at offset 0: expected " + Hex64(kManifestMagic) +
                              ", found " + Hex64(header->magic));
  }
  // Before the checksum: a later version may keep it elsewhere.
  if (header->version < kOldestManifestVersion || header->version > kManifestVersion) {
    const bool ours = HeaderChecksum(*header) == header->checksum;
    std::string message = path + ": format version " + std::to_string(header->version) +
                          "; this build knows versions up to " + std::to_string(kManifestVersion);
    if (ours) return Status::NotSupported(message + ". Open it with a newer Lamina");
    return Status::Corruption(message + ", and the header's checksum is wrong");
  }
  if (HeaderChecksum(*header) != header->checksum) {
    return Status::Corruption(path + ": header checksum at offset 56: expected " +
                              Hex64(HeaderChecksum(*header)) + ", found " +
                              Hex64(header->checksum));
  }
  if (header->file_number != number) {
    return Status::Corruption(path + ": is the manifest " + std::to_string(header->file_number) +
                              " under another name");
  }
  return Status::Ok();
}

StoreId StoreIdOf(const ManifestHeader& header) {
  return {header.store_id_high, header.store_id_low};
}

}  // namespace

std::string ManifestFileName(uint64_t number) noexcept {
  char text[40];
  std::snprintf(text, sizeof text, "%s%06llu", kManifestPrefix.data(),
                static_cast<unsigned long long>(number));
  return text;
}

bool ParseManifestFileName(std::string_view name, uint64_t* number) noexcept {
  if (!name.starts_with(kManifestPrefix)) return false;
  const std::string_view digits = name.substr(kManifestPrefix.size());
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *number);
  return error == std::errc() && end == digits.data() + digits.size() &&
         ManifestFileName(*number) == name;
}

Result<LoadedManifest> LoadManifest(FileSystem& fs, const std::string& directory) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::string name, ReadCurrent(fs, directory));
  LoadedManifest loaded;
  ParseManifestFileName(name, &loaded.file_number);
  const std::string path = directory + "/" + name;
  LAMINA_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(fs, path, kMaxManifestBytes));
  ManifestHeader header;
  LAMINA_RETURN_IF_ERROR(CheckHeader(path, bytes, loaded.file_number, &header));
  loaded.store_id = StoreIdOf(header);

  uint64_t offset = sizeof header;
  while (offset < bytes.size()) {
    const auto payload = RecordAt(bytes, offset, loaded.edits + 1);
    if (!payload) break;
    auto edit = ManifestEdit::Decode(*payload);
    Status status = edit.ok() ? loaded.state.Apply(*edit) : edit.status();
    if (!status.ok()) {
      return Status::Corruption(path + ": record " + std::to_string(loaded.edits + 1) +
                                " at offset " + std::to_string(offset) + ": " +
                                std::string(status.message()));
    }
    offset += sizeof(ManifestRecordHeader) + PaddedLength(payload->size());
    ++loaded.edits;
  }
  loaded.ignored_tail_bytes = bytes.size() - offset;
  const bool damaged = loaded.edits == 0 || ValidRecordFollows(bytes, offset, loaded.edits + 1);
  if (damaged) {
    return Status::Corruption(path + ": record " + std::to_string(loaded.edits + 1) +
                              " at offset " + std::to_string(offset) +
                              " is damaged and is not the end of the file");
  }
  return loaded;
}

Manifest::Manifest(FileSystem& fs, std::string directory, const StoreId& store_id,
                   ManifestState state, Ballast* ballast) noexcept
    : fs_(fs),
      directory_(std::move(directory)),
      store_id_(store_id),
      state_(std::move(state)),
      ballast_(ballast),
      rewrite_at_(kManifestRewriteBytes) {}

Result<std::unique_ptr<Manifest>> Manifest::Start(FileSystem& fs, const std::string& directory,
                                                  const StoreId& store_id, ManifestState state,
                                                  Ballast* ballast) noexcept {
  std::unique_ptr<Manifest> manifest(
      new Manifest(fs, directory, store_id, std::move(state), ballast));
  LAMINA_RETURN_IF_ERROR(manifest->StartFile());
  return manifest;
}

// The edit may have reached the disk, so this is never a mere lack of space, even where space is
// what failed last: after kNoSpace callers act as if the edit had not been.
Status Manifest::Latched(Status why) noexcept {
  if (why.code() == StatusCode::kNoSpace) why = Status::IoError(std::string(why.message()));
  latch_.Set(why);
  return why;
}

// Whether what failed is to be tried again.
bool Manifest::MakeRoom(const Status& failed) noexcept {
  return failed.code() == StatusCode::kNoSpace && ballast_ != nullptr && ballast_->GiveUp();
}

// The new file is complete and synced before CURRENT names it, and the old one goes only when
// CURRENT's rename is durable: at every moment CURRENT names a whole manifest. Up to the rename a
// lack of space leaves everything as it was.
Status Manifest::StartFile() noexcept {
  const uint64_t number = TakeFileNumber();
  std::unique_ptr<File> file;
  uint64_t bytes = 0;
  const auto prepare = [&]() noexcept -> Status {
    LAMINA_RETURN_IF_ERROR(WriteFile(number, &file, &bytes));
    return NameInTemporary(number);
  };
  Status status = prepare();
  if (MakeRoom(status)) status = prepare();
  if (status.code() == StatusCode::kNoSpace) {
    file.reset();
    // Orphans if that fails: the next open removes them.
    (void)fs_.Remove(directory_ + "/" + ManifestFileName(number));
    return status;
  }
  if (!status.ok()) return Latched(std::move(status));

  const std::string current = directory_ + "/" + kCurrentFileName;
  status = fs_.Rename(current + kTemporarySuffix, current);
  if (status.ok()) status = fs_.SyncDirectory(directory_);
  if (!status.ok()) return Latched(std::move(status));
  const uint64_t old_number = std::exchange(file_number_, number);
  file_ = std::move(file);
  offset_ = bytes;
  records_ = 1;
  // Older manifests that a crash left behind go with the store's other orphans at the next open.
  if (old_number == 0) return Status::Ok();
  status = fs_.Remove(directory_ + "/" + ManifestFileName(old_number));
  return status.ok() ? status : Latched(std::move(status));
}

// Header and state, synced.
Status Manifest::WriteFile(uint64_t number, std::unique_ptr<File>* file, uint64_t* bytes) noexcept {
  FileOpen how;
  how.write = how.create = how.truncate = true;
  LAMINA_ASSIGN_OR_RETURN(*file, fs_.Open(directory_ + "/" + ManifestFileName(number), how));
  ManifestHeader header{};
  header.magic = kManifestMagic;
  header.version = kManifestVersion;
  header.store_id_high = store_id_.high;
  header.store_id_low = store_id_.low;
  header.file_number = number;
  header.checksum = HeaderChecksum(header);
  LAMINA_RETURN_IF_ERROR((*file)->Write(0, std::as_bytes(std::span(&header, 1))));
  const std::string record = EncodeRecord(state_.Snapshot(), 1);
  LAMINA_RETURN_IF_ERROR((*file)->Write(sizeof header, std::as_bytes(std::span(record))));
  *bytes = sizeof header + record.size();
  return (*file)->Sync();
}

// What CURRENT is to become.
Status Manifest::NameInTemporary(uint64_t number) noexcept {
  const std::string name = ManifestFileName(number);
  const std::string line = name + " " + Hex64(XXH3_64bits(name.data(), name.size())) + "\n";
  FileOpen how;
  how.write = how.create = how.truncate = true;
  LAMINA_ASSIGN_OR_RETURN(auto file,
                          fs_.Open(directory_ + "/" + kCurrentFileName + kTemporarySuffix, how));
  LAMINA_RETURN_IF_ERROR(file->Write(0, std::as_bytes(std::span(line))));
  LAMINA_RETURN_IF_ERROR(file->Sync());
  // The manifest's own directory entry must not be younger on disk than CURRENT's.
  return fs_.SyncDirectory(directory_);
}

// A write that lacked space may be made again: nothing has been synced since, and the bytes and
// their place are the same. A sync is never made again.
Status Manifest::WriteRecord(const ManifestEdit& edit) noexcept {
  const std::string record = EncodeRecord(edit, records_ + 1);
  const auto bytes = std::as_bytes(std::span(record));
  Status status = file_->Write(offset_, bytes);
  if (MakeRoom(status)) status = file_->Write(offset_, bytes);
  if (status.code() == StatusCode::kNoSpace) return TakeBack(std::move(status));
  if (status.ok() && !Mutated(Mutation::kSkipManifestSync)) status = file_->Sync();
  if (!status.ok()) return Latched(std::move(status));
  offset_ += record.size();
  ++records_;
  return Status::Ok();
}

// Some of a record that lacked space may have been written. It goes again, durably: whoever is told
// that there was no space acts as if the edit had never been.
Status Manifest::TakeBack(Status why) noexcept {
  Status status = file_->Truncate(offset_);
  if (status.ok()) status = file_->Sync();
  return status.ok() ? why : Latched(std::move(status));
}

Status Manifest::Commit(const ManifestEdit& edit) noexcept {
  LAMINA_RETURN_IF_ERROR(latch_.status());
  ManifestEdit numbered = edit;
  numbered.next_file_number = state_.next_file_number;
  // Applied to a copy first: an edit that does not fit must not reach the disk.
  ManifestState next = state_;
  LAMINA_RETURN_IF_ERROR(next.Apply(numbered));
  LAMINA_RETURN_IF_ERROR(WriteRecord(numbered));
  state_ = std::move(next);
  // The edit stands, whatever becomes of the rewriting. Without space the file goes on growing.
  if (offset_ >= rewrite_at_) {
    (void)StartFile();
    rewrite_at_ = offset_ + kManifestRewriteBytes;
  }
  return Status::Ok();
}

}  // namespace lamina
