#include "engine/store/manifest_edit.h"

#include <algorithm>
#include <bit>

#include "engine/base/coding.h"
#include "engine/index/stem_key.h"
#include "engine/store/manifest_format.h"
#include "engine/store/policy_file.h"

namespace lamina {
namespace {

// ---- Encoding
// ------------------------------------------------------------------------------------

void PutTag(std::string* out, ManifestField field) { PutVarint(out, static_cast<uint64_t>(field)); }

template <class T>
void PutOptional(std::string* out, ManifestField field, const std::optional<T>& value) {
  if (!value) return;
  PutTag(out, field);
  if constexpr (std::is_same_v<T, std::string>) {
    PutBytes(out, *value);
  } else {
    PutVarint(out, static_cast<uint64_t>(*value));
  }
}

void PutWriteLevel(std::string* out, const WriteLevel& level) {
  PutTag(out, ManifestField::kWriteLevel);
  PutVarint(out,
            (static_cast<uint64_t>(level.bytes) << 1) ^ static_cast<uint64_t>(level.bytes >> 63));
  PutVarint(out, level.unix_seconds);
}

void PutTable(std::string* out, const TableMeta& table) {
  PutVarint(out, table.number);
  PutVarint(out, table.file_bytes);
  PutVarint(out, table.entry_count);
  PutVarint(out, table.page_count);
  PutVarint(out, table.stem_count);
  PutVarint(out, table.data_blocks);
  PutFixed(out, std::bit_cast<uint64_t>(table.filter_bits_per_key));
  PutVarint(out, table.filter_bytes);
  PutVarint(out, table.top_index_bytes);
  PutVarint(out, table.dropped_entries);
  PutBytes(out, KeyBytes(table.smallest.view()).view());
  PutBytes(out, KeyBytes(table.largest.view()).view());
}

void PutTables(std::string* out, const std::vector<TableMeta>& tables) {
  PutVarint(out, tables.size());
  for (const TableMeta& table : tables) PutTable(out, table);
}

void PutTreeEdit(std::string* out, const TreeEdit& edit) {
  for (const RunId run : edit.remove_runs) {
    PutTag(out, ManifestField::kRunRemove);
    PutVarint(out, run);
  }
  for (const Run& run : edit.add_runs) {
    PutTag(out, ManifestField::kRunAdd);
    PutVarint(out, run.id);
    PutVarint(out, run.level);
    PutVarint(out, run.oldest_flush);
    PutVarint(out, run.newest_flush);
    PutTables(out, run.tables);
  }
  for (const TreeEdit::TableChange& change : edit.change_runs) {
    PutTag(out, ManifestField::kRunChange);
    PutVarint(out, change.run);
    PutVarint(out, change.remove.size());
    for (const TableNumber table : change.remove) PutVarint(out, table);
    PutTables(out, change.add);
  }
}

void PutSegment(std::string* out, const SegmentInfo& segment) {
  PutTag(out, ManifestField::kSegmentAdd);
  PutVarint(out, segment.id);
  PutVarint(out, segment.log_dir);
  PutVarint(out, segment.slot_bytes);
  PutVarint(out, segment.slot_count);
}

void PutRoot(std::string* out, const RootRecord& root) {
  PutTag(out, ManifestField::kRoot);
  PutDigest(out, root.name);
  PutVarint(out, root.number);
  PutVarint(out, root.epoch);
  PutBytes(out, root.text);
}

// ---- Decoding
// ------------------------------------------------------------------------------------

// Sizes from disk never reserve memory: each element is parsed before room is made for it.
bool ReadKey(Decoder* in, OwnedStemKey* key) {
  auto parsed = ParseKeyBytes(in->Bytes());
  if (!in->ok() || !parsed) return false;
  *key = std::move(*parsed);
  return true;
}

bool ReadTable(Decoder* in, TableMeta* table) {
  table->number = in->Varint();
  table->file_bytes = in->Varint();
  table->entry_count = in->Varint();
  table->page_count = in->Varint();
  table->stem_count = in->Varint();
  table->data_blocks = in->Varint();
  table->filter_bits_per_key = std::bit_cast<double>(in->Fixed<uint64_t>());
  table->filter_bytes = in->Varint();
  table->top_index_bytes = in->Varint();
  table->dropped_entries = in->Varint();
  return ReadKey(in, &table->smallest) && ReadKey(in, &table->largest);
}

bool ReadTables(Decoder* in, std::vector<TableMeta>* tables) {
  const uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count; ++i) {
    TableMeta table;
    if (!ReadTable(in, &table)) return false;
    tables->push_back(std::move(table));
  }
  return in->ok();
}

bool ReadRun(Decoder* in, Run* run) {
  run->id = in->Varint();
  run->level = in->Varint32();
  run->oldest_flush = in->Varint();
  run->newest_flush = in->Varint();
  if (!ReadTables(in, &run->tables)) return false;
  run->Summarize();
  return true;
}

bool ReadRunChange(Decoder* in, TreeEdit::TableChange* change) {
  change->run = in->Varint();
  const uint64_t removed = in->Varint();
  for (uint64_t i = 0; i < removed && in->ok(); ++i) change->remove.push_back(in->Varint());
  return in->ok() && ReadTables(in, &change->add);
}

bool ReadCreation(Decoder* in, Creation* creation) {
  creation->stem_pages = in->Varint32();
  const std::string_view secret = in->Raw(kSecretBytes);
  if (!in->ok()) return false;
  std::copy(secret.begin(), secret.end(), creation->secret.begin());
  return creation->stem_pages >= 1 && creation->stem_pages <= kMaxStemPages;
}

bool ReadSegment(Decoder* in, SegmentInfo* segment) {
  segment->id = in->Varint32();
  segment->log_dir = in->Varint32();
  segment->slot_bytes = in->Varint32();
  segment->slot_count = in->Varint32();
  return in->ok() && segment->slot_bytes != 0 && segment->slot_bytes % kSlotUnitBytes == 0 &&
         segment->slot_count != 0;
}

bool ReadRoot(Decoder* in, RootRecord* root) {
  root->name = in->Digest();
  root->number = in->Varint32();
  root->epoch = in->Varint();
  root->text = in->Bytes();
  return in->ok();
}

// A file of the store's directory, which is read, and removed when its time has come: whatever the
// bytes say, it is no other file.
bool ReadPolicyName(Decoder* in, std::string* name) {
  *name = in->Bytes();
  uint64_t number = 0;
  return in->ok() && (name->empty() || ParsePolicyFileName(*name, &number));
}

bool ReadWriteLevel(Decoder* in, WriteLevel* level) {
  const uint64_t bytes = in->Varint();
  level->bytes = static_cast<int64_t>(bytes >> 1) ^ -static_cast<int64_t>(bytes & 1);
  level->unix_seconds = in->Varint();
  return in->ok();
}

template <class T, class Read>
bool Append(Decoder* in, std::vector<T>* list, Read read) {
  T value{};
  if (!read(in, &value)) return false;
  list->push_back(std::move(value));
  return true;
}

bool ReadField(ManifestField field, Decoder* in, ManifestEdit* edit) {
  switch (field) {
    case ManifestField::kCreation:
      return ReadCreation(in, &edit->creation.emplace());
    case ManifestField::kOpenEpoch:
      edit->open_epoch = in->Varint();
      return in->ok();
    case ManifestField::kNextFileNumber:
      edit->next_file_number = in->Varint();
      return in->ok();
    case ManifestField::kNextSegmentId:
      edit->next_segment_id = in->Varint32();
      return in->ok();
    case ManifestField::kNextRunId:
      edit->next_run_id = in->Varint();
      return in->ok();
    case ManifestField::kNextFlush:
      edit->next_flush = in->Varint();
      return in->ok();
    case ManifestField::kEpochCounter:
      edit->epoch_counter = in->Varint();
      return in->ok();
    case ManifestField::kRoot:
      return Append(in, &edit->roots, ReadRoot);
    case ManifestField::kLogDir: {
      const uint32_t index = in->Varint32();
      edit->log_dirs.emplace_back(index, std::string(in->Bytes()));
      return in->ok();
    }
    case ManifestField::kSegmentAdd:
      return Append(in, &edit->add_segments, ReadSegment);
    case ManifestField::kSegmentDrop:
      edit->drop_segments.push_back(in->Varint32());
      return in->ok();
    case ManifestField::kSlotTable: {
      const uint32_t segment = in->Varint32();
      edit->slot_tables.emplace_back(segment, in->Varint());
      return in->ok();
    }
    case ManifestField::kRunRemove:
      edit->tree.remove_runs.push_back(in->Varint());
      return in->ok();
    case ManifestField::kRunAdd:
      return Append(in, &edit->tree.add_runs, ReadRun);
    case ManifestField::kRunChange:
      return Append(in, &edit->tree.change_runs, ReadRunChange);
    case ManifestField::kCheckpoint: {
      const uint64_t epoch = in->Varint();
      edit->checkpoint = JournalPosition{epoch, in->Varint()};
      return in->ok();
    }
    case ManifestField::kShape:
      edit->shape = in->Bytes();
      return in->ok();
    case ManifestField::kCleanClose:
      edit->clean_close = in->Varint() == 1;
      return in->ok();
    case ManifestField::kDeviceModel:
      edit->device_model = in->Bytes();
      return in->ok();
    case ManifestField::kPolicyState:
      return ReadPolicyName(in, &edit->policy_state.emplace());
    case ManifestField::kWriteLevel:
      return ReadWriteLevel(in, &edit->write_level.emplace());
    case ManifestField::kErasePhysical:
      edit->erase_physical = in->Varint() == 1;
      return in->ok();
  }
  return false;
}

Status Misfit(const char* what, uint64_t id) {
  return Status::Corruption(std::string("manifest edit: ") + what + " " + std::to_string(id));
}

template <class T>
void Set(T* target, const std::optional<T>& value) {
  if (value) *target = *value;
}

}  // namespace

void ManifestEdit::EncodeTo(std::string* out) const noexcept {
  if (creation) {
    PutTag(out, ManifestField::kCreation);
    PutVarint(out, creation->stem_pages);
    out->append(creation->secret.begin(), creation->secret.end());
  }
  PutOptional(out, ManifestField::kOpenEpoch, open_epoch);
  PutOptional(out, ManifestField::kNextFileNumber, next_file_number);
  PutOptional(out, ManifestField::kNextSegmentId, next_segment_id);
  PutOptional(out, ManifestField::kNextRunId, next_run_id);
  PutOptional(out, ManifestField::kNextFlush, next_flush);
  PutOptional(out, ManifestField::kEpochCounter, epoch_counter);
  for (const RootRecord& root : roots) PutRoot(out, root);
  for (const auto& [index, path] : log_dirs) {
    PutTag(out, ManifestField::kLogDir);
    PutVarint(out, index);
    PutBytes(out, path);
  }
  for (const SegmentInfo& segment : add_segments) PutSegment(out, segment);
  for (const uint32_t segment : drop_segments) {
    PutTag(out, ManifestField::kSegmentDrop);
    PutVarint(out, segment);
  }
  for (const auto& [segment, generation] : slot_tables) {
    PutTag(out, ManifestField::kSlotTable);
    PutVarint(out, segment);
    PutVarint(out, generation);
  }
  PutTreeEdit(out, tree);
  if (checkpoint) {
    PutTag(out, ManifestField::kCheckpoint);
    PutVarint(out, checkpoint->epoch);
    PutVarint(out, checkpoint->sequence);
  }
  PutOptional(out, ManifestField::kShape, shape);
  PutOptional(out, ManifestField::kCleanClose, clean_close);
  PutOptional(out, ManifestField::kDeviceModel, device_model);
  PutOptional(out, ManifestField::kPolicyState, policy_state);
  if (write_level) PutWriteLevel(out, *write_level);
  PutOptional(out, ManifestField::kErasePhysical, erase_physical);
}

Result<ManifestEdit> ManifestEdit::Decode(std::string_view bytes) noexcept {
  ManifestEdit edit;
  Decoder in(bytes);
  while (in.remaining() > 0) {
    const uint64_t tag = in.Varint();
    if (!in.ok() || tag > UINT8_MAX || !ReadField(static_cast<ManifestField>(tag), &in, &edit)) {
      return Status::Corruption("manifest edit: field " + std::to_string(tag) + " before byte " +
                                std::to_string(bytes.size() - in.remaining()) +
                                " of the record is unknown or does not parse");
    }
  }
  return edit;
}

Status ManifestState::Apply(const ManifestEdit& edit) noexcept {
  Set(&creation, edit.creation);
  Set(&open_epoch, edit.open_epoch);
  Set(&next_file_number, edit.next_file_number);
  Set(&next_segment_id, edit.next_segment_id);
  Set(&next_run_id, edit.next_run_id);
  Set(&next_flush, edit.next_flush);
  Set(&epoch_counter, edit.epoch_counter);
  for (const RootRecord& root : edit.roots) roots[root.name] = root;
  for (const auto& [index, path] : edit.log_dirs) log_dirs[index] = path;
  for (const SegmentInfo& segment : edit.add_segments) {
    if (segment.id >= next_segment_id)
      return Misfit("adds segment beyond the counter:", segment.id);
    if (!segments.emplace(segment.id, SegmentRecord{segment, 0}).second)
      return Misfit("adds a segment twice:", segment.id);
  }
  for (const uint32_t segment : edit.drop_segments) {
    if (segments.erase(segment) == 0) return Misfit("drops an unknown segment:", segment);
  }
  for (const auto& [segment, generation] : edit.slot_tables) {
    const auto found = segments.find(segment);
    if (found == segments.end()) return Misfit("slot table of an unknown segment:", segment);
    found->second.slot_table = generation;
  }
  if (!edit.tree.empty()) {
    LAMINA_ASSIGN_OR_RETURN(tree, tree->Apply(edit.tree));
  }
  Set(&checkpoint, edit.checkpoint);
  Set(&shape, edit.shape);
  Set(&clean_close, edit.clean_close);
  Set(&device_model, edit.device_model);
  Set(&policy_state, edit.policy_state);
  if (edit.write_level) write_level = edit.write_level;
  Set(&erase_physical, edit.erase_physical);
  return Status::Ok();
}

ManifestEdit ManifestState::Snapshot() const noexcept {
  ManifestEdit edit;
  edit.creation = creation;
  edit.open_epoch = open_epoch;
  edit.next_file_number = next_file_number;
  edit.next_segment_id = next_segment_id;
  edit.next_run_id = next_run_id;
  edit.next_flush = next_flush;
  edit.epoch_counter = epoch_counter;
  for (const auto& [name, root] : roots) edit.roots.push_back(root);
  for (const auto& [index, path] : log_dirs) edit.log_dirs.emplace_back(index, path);
  for (const auto& [id, segment] : segments) {
    edit.add_segments.push_back(segment.info);
    if (segment.slot_table != 0) edit.slot_tables.emplace_back(id, segment.slot_table);
  }
  for (const RunPtr& run : tree->RunsNewestFirst()) edit.tree.add_runs.push_back(*run);
  edit.checkpoint = checkpoint;
  edit.shape = shape;
  edit.clean_close = clean_close;
  edit.device_model = device_model;
  edit.policy_state = policy_state;
  edit.write_level = write_level;
  edit.erase_physical = erase_physical;
  return edit;
}

}  // namespace lamina
