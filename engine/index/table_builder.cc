#include "engine/index/table_builder.h"

#include <bit>
#include <utility>

#include "engine/base/coding.h"
#include "engine/index/data_block.h"
#include "engine/index/filter.h"
#include "engine/index/index_block.h"
#include "engine/index/sequential_writer.h"

namespace lamina {
namespace {

constexpr FileOpen kCreate{.write = true, .create = true, .exclusive = true, .direct = true};

// A file for writes of whole blocks: direct if its device takes 4 KiB blocks.
Result<std::unique_ptr<File>> CreateFile(FileSystem* file_system,
                                         const std::string& path) noexcept {
  LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<File> file, file_system->Open(path, kCreate));
  const Alignment alignment = file->alignment();
  if (alignment.offset <= kTableBlockBytes && alignment.memory <= kTableBlockBytes) return file;
  file.reset();
  return file_system->Open(path, {.write = true});
}

// Header, payload and fill.
std::string MakeSection(std::string_view payload, uint64_t table, uint64_t offset,
                        BlockKind kind) noexcept {
  SectionHeader header{};
  header.payload_bytes = payload.size();
  std::string section(SectionBytes(payload.size()), '\0');
  std::memcpy(section.data(), &header, sizeof header);
  std::memcpy(section.data() + sizeof header, payload.data(), payload.size());
  SealBlock(std::as_writable_bytes(std::span(section)), table, offset, kind);
  return section;
}

}  // namespace

Result<std::unique_ptr<TableBuilder>> TableBuilder::Create(FileSystem* file_system,
                                                           const std::string& path,
                                                           TableBuilderOptions options) noexcept {
  if (options.number == 0) return Status::InvalidArgument(path + ": table number 0");
  if (!(options.filter_bits_per_key >= 0 && options.filter_bits_per_key <= kMaxFilterBitsPerKey))
    return Status::InvalidArgument(path + ": filter bits per key " +
                                   std::to_string(options.filter_bits_per_key) +
                                   " are not within 0 and 64");
  if (options.shape.size() > kMaxShapeBytes)
    return Status::InvalidArgument(path + ": shape is longer than 255 bytes");
  LAMINA_ASSIGN_OR_RETURN(std::unique_ptr<File> file, CreateFile(file_system, path));
  return std::unique_ptr<TableBuilder>(
      new TableBuilder(file_system, path, std::move(options), std::move(file)));
}

TableBuilder::TableBuilder(FileSystem* file_system, std::string path, TableBuilderOptions options,
                           std::unique_ptr<File> file) noexcept
    : file_system_(file_system),
      path_(std::move(path)),
      options_(std::move(options)),
      file_(std::move(file)),
      writer_(std::make_unique<SequentialWriter>(file_.get(), std::move(options_.before_write))),
      index_(std::make_unique<IndexBuilder>()) {
  meta_.number = options_.number;
  meta_.filter_bits_per_key = options_.filter_bits_per_key;
  blocks_ = std::make_unique<DataBlockBuilder>(
      [this](std::span<std::byte, kTableBlockBytes> block, std::string_view separator) {
        SealBlock(block, options_.number, writer_->offset(), BlockKind::kData);
        index_->Add(separator);
        return writer_->Append(block);
      });
}

TableBuilder::~TableBuilder() {
  if (finished_) return;
  file_.reset();
  // Nothing more can be done about a file that cannot be removed: the store's next open finds it in
  // no manifest and removes it.
  (void)file_system_->Remove(path_);
}

Status TableBuilder::Add(const StemKey& key, const Entry& entry) noexcept {
  LAMINA_RETURN_IF_ERROR(status_);
  bool same_key = false;
  status_ = CheckOrder(key, &same_key);
  if (!status_.ok()) return status_;
  if (!same_key) {
    if (meta_.page_count == 0) meta_.smallest = OwnedStemKey(key);
    if (meta_.page_count == 0 || key.anchor != meta_.largest.anchor) ++meta_.stem_count;
    ++meta_.page_count;
    meta_.largest.anchor = key.anchor;
    meta_.largest.fingerprints.assign(key.fingerprints.begin(), key.fingerprints.end());
    if (meta_.filter_bits_per_key > 0) key_hashes_.push_back(HashOf(key.page_key()));
  }
  ++meta_.entry_count;
  status_ = blocks_->Add(key, entry);
  return status_;
}

Status TableBuilder::CheckOrder(const StemKey& key, bool* same_key) const noexcept {
  if (key.fingerprints.empty() || key.fingerprints.size() > kMaxStemPages)
    return Status::InvalidArgument(path_ + ": a key of " + std::to_string(key.fingerprints.size()) +
                                   " fingerprints");
  if (meta_.page_count == 0) return Status::Ok();
  const auto order = Compare(meta_.largest.view(), key);
  if (order > 0)
    return Status::InvalidArgument(path_ + ": key " + KeyToString(key) + " after " +
                                   KeyToString(meta_.largest.view()));
  *same_key = order == 0;
  return Status::Ok();
}

uint64_t TableBuilder::data_bytes() const noexcept { return writer_->offset(); }

Result<TableMeta> TableBuilder::Finish() noexcept {
  LAMINA_RETURN_IF_ERROR(status_);
  if (meta_.entry_count == 0) return Status::InvalidArgument(path_ + ": a table without entries");
  status_ = blocks_->Finish();
  if (status_.ok()) status_ = WriteTail();
  if (status_.ok()) status_ = writer_->Flush();
  if (status_.ok()) status_ = file_->Sync();
  LAMINA_RETURN_IF_ERROR(status_);
  finished_ = true;
  return meta_;
}

Status TableBuilder::AppendSection(std::string_view payload, BlockKind kind,
                                   SectionRange* range) noexcept {
  *range = {writer_->offset(), SectionBytes(payload.size())};
  const std::string section = MakeSection(payload, meta_.number, range->offset, kind);
  return writer_->Append(std::as_bytes(std::span(section)));
}

// Everything behind the data blocks.
Status TableBuilder::WriteTail() noexcept {
  TableFooter footer{};
  footer.version = kTableVersion;
  footer.magic = kTableMagic;
  footer.data_blocks = index_->count();

  IndexBuilder::Output index = index_->Finish(options_.single_level_index_bytes);
  footer.index_blocks = index.index_blocks.size() / kTableBlockBytes;
  for (size_t at = 0; at < index.index_blocks.size(); at += kTableBlockBytes) {
    const auto block =
        std::as_writable_bytes(std::span(index.index_blocks).subspan(at, kTableBlockBytes));
    SealBlock(block, meta_.number, writer_->offset(), BlockKind::kIndex);
    LAMINA_RETURN_IF_ERROR(writer_->Append(block));
  }
  LAMINA_RETURN_IF_ERROR(AppendSection(index.top_index, BlockKind::kTopIndex, &footer.top_index));
  LAMINA_RETURN_IF_ERROR(WriteFilter(&footer));

  meta_.data_blocks = footer.data_blocks;
  auto top_index = TopIndex::Parse(index.top_index, footer.data_blocks, footer.index_blocks);
  LAMINA_CHECK(top_index.ok());
  meta_.top_index_bytes = top_index->memory_bytes();
  return WritePropertiesAndFooter(&footer);
}

Status TableBuilder::WriteFilter(TableFooter* footer) noexcept {
  footer->filter = {writer_->offset(), 0};
  meta_.filter_bytes = FilterBytes(key_hashes_.size(), meta_.filter_bits_per_key);
  if (meta_.filter_bytes == 0) return Status::Ok();
  footer->filter_probes = FilterProbes(meta_.filter_bits_per_key);
  std::string lines(meta_.filter_bytes, '\0');
  BuildFilter(key_hashes_, footer->filter_probes, std::as_writable_bytes(std::span(lines)));
  key_hashes_ = {};
  return AppendSection(lines, BlockKind::kFilter, &footer->filter);
}

Status TableBuilder::WritePropertiesAndFooter(TableFooter* footer) noexcept {
  // All fields of the properties that depend on their size are of fixed width.
  TableProperties properties{meta_, options_.store_id, options_.job_id, options_.shape};
  const uint64_t properties_bytes = SectionBytes(PutProperties(properties).size());
  meta_.file_bytes = writer_->offset() + properties_bytes + kTableBlockBytes;
  properties.meta.file_bytes = meta_.file_bytes;
  LAMINA_RETURN_IF_ERROR(
      AppendSection(PutProperties(properties), BlockKind::kProperties, &footer->properties));

  footer->file_bytes = meta_.file_bytes;
  std::string block(kTableBlockBytes, '\0');
  std::memcpy(block.data(), footer, sizeof *footer);
  const auto bytes = std::as_writable_bytes(std::span(block));
  SealBlock(bytes, meta_.number, writer_->offset(), BlockKind::kFooter);
  return writer_->Append(bytes);
}

}  // namespace lamina
