// Draws the levels and runs of a store: what a lookup has to go through, and what it costs.
#include <algorithm>
#include <string>
#include <vector>

#include "engine/index/filter.h"
#include "tools/common_text.h"
#include "tools/sst_dump_store.h"
#include "tools/sst_dump_table.h"

namespace lamina::sst_dump {
namespace {

using tools::HumanBytes;
using tools::Record;

constexpr size_t kBarColumns = 24;

// Of the filters of some tables, over their pages. A lookup asks the one table of a run whose key
// range holds the key. Bits are those asked for; the filters of tiny tables round up.
struct FilterSum {
  double pages = 0;
  double bits = 0;
  double false_positives = 0;

  void Add(const TableMeta& table) {
    const auto count = static_cast<double>(table.page_count);
    pages += count;
    bits += count * table.filter_bits_per_key;
    false_positives += count * ExpectedFpr(table.filter_bits_per_key);
  }
  void Add(const Run& run) {
    for (const TableMeta& table : run.tables) Add(table);
  }
  [[nodiscard]] double bits_per_key() const { return pages == 0 ? 0 : bits / pages; }
  [[nodiscard]] double rate() const { return pages == 0 ? 0 : false_positives / pages; }
};

class TreePrinter {
 public:
  TreePrinter(std::string store, const LoadedManifest& loaded, Report& report)
      : store_(std::move(store)), state_(loaded.state), report_(report) {}

  void Run() {
    for (const RunPtr& run : state_.tree->RunsNewestFirst()) {
      largest_run_bytes_ = std::max(largest_run_bytes_, run->bytes);
      all_.Add(*run);
      FilterSum filters;
      filters.Add(*run);
      wasted_reads_ += filters.rate();
    }
    Total();
    uint32_t number = 0;
    for (const Level& level : state_.tree->levels()) PrintLevel(number++, level);
  }

 private:
  [[nodiscard]] std::string Bytes(uint64_t bytes) const {
    return report_.options().raw ? std::to_string(bytes) : HumanBytes(bytes);
  }
  [[nodiscard]] std::string Bar(uint64_t bytes) const {
    if (largest_run_bytes_ == 0) return {};
    const double share = static_cast<double>(bytes) / static_cast<double>(largest_run_bytes_);
    return std::string(std::max<size_t>(1, static_cast<size_t>(share * kBarColumns + 0.5)), '#');
  }
  [[nodiscard]] static std::string Filters(const FilterSum& filters) {
    return fmt::format("{:.2f} filter bits/key, {:.3g} % false positives", filters.bits_per_key(),
                       100 * filters.rate());
  }

  void Total() {
    const Tree& tree = *state_.tree;
    report_.Print(
        Record("tree")
            .Text("store", store_)
            .Text("shape", state_.shape)
            .Number("levels", tree.levels().size())
            .Number("runs", tree.run_count())
            .Number("tables", tree.table_count())
            .Number("entries", tree.entries())
            .Number("bytes", tree.bytes())
            .Number("filter_bytes", tree.filter_bits() / 8)
            .Real("filter_bits_per_key", all_.bits_per_key())
            .Real("expected_reads_per_missing_lookup", wasted_reads_),
        fmt::format("{}\n  shape {}: {} in {}, {}, {}, {}\n  {:.2f} filter bits/key; a lookup of a "
                    "page that is not there reads {:.3g} blocks\n",
                    tools::Printable(store_), state_.shape, tools::Counted(tree.run_count(), "run"),
                    tools::Counted(tree.levels().size(), "level"),
                    tools::Counted(tree.table_count(), "table"),
                    tools::Counted(tree.entries(), "entry", "entries"), Bytes(tree.bytes()),
                    all_.bits_per_key(), wasted_reads_));
  }

  void PrintLevel(uint32_t number, const Level& level) {
    FilterSum filters;
    for (const RunPtr& run : level.runs) filters.Add(*run);
    report_.Print(
        Record("level")
            .Text("store", store_)
            .Number("level", uint64_t{number})
            .Number("runs", level.runs.size())
            .Number("entries", level.entries())
            .Number("bytes", level.bytes())
            .Number("filter_bytes", level.filter_bits() / 8)
            .Real("filter_bits_per_key", filters.bits_per_key())
            .Real("expected_false_positive_rate", filters.rate()),
        fmt::format("level {}: {}, {}, {}\n", number, tools::Counted(level.runs.size(), "run"),
                    tools::Counted(level.entries(), "entry", "entries"), Bytes(level.bytes())));
    for (const RunPtr& run : level.runs) PrintRun(*run);
  }

  void PrintRun(const lamina::Run& run) {
    FilterSum filters;
    filters.Add(run);
    report_.Print(Record("run")
                      .Text("store", store_)
                      .Number("level", uint64_t{run.level})
                      .Number("run", run.id)
                      .Number("oldest_flush", run.oldest_flush)
                      .Number("newest_flush", run.newest_flush)
                      .Number("tables", run.tables.size())
                      .Number("entries", run.entries)
                      .Number("bytes", run.bytes)
                      .Number("filter_bytes", run.filter_bits / 8)
                      .Real("filter_bits_per_key", filters.bits_per_key())
                      .Real("expected_false_positive_rate", filters.rate()),
                  fmt::format("  {:<{}}  run {}, flushes {} to {}: {}, {}, {}, {}\n",
                              Bar(run.bytes), kBarColumns, run.id, run.oldest_flush,
                              run.newest_flush, tools::Counted(run.tables.size(), "table"),
                              tools::Counted(run.entries, "entry", "entries"), Bytes(run.bytes),
                              Filters(filters)));
    if (!report_.options().verbose) return;
    for (const TableMeta& table : run.tables) PrintTable(run, table);
  }

  void PrintTable(const lamina::Run& run, const TableMeta& table) {
    FilterSum filters;
    filters.Add(table);
    report_.Print(
        Record("table")
            .Text("store", store_)
            .Number("run", run.id)
            .Number("table", table.number)
            .Number("entries", table.entry_count)
            .Number("pages", table.page_count)
            .Number("bytes", table.file_bytes)
            .Number("filter_bytes", table.filter_bytes)
            .Real("filter_bits_per_key", filters.bits_per_key())
            .Real("expected_false_positive_rate", filters.rate())
            .Text("smallest_key", KeyHex(table.smallest.view()))
            .Text("largest_key", KeyHex(table.largest.view())),
        fmt::format("  {:{}}    table {}: {}, {}, {}\n  {:{}}      {}\n  {:{}}      to {}\n", "",
                    kBarColumns, table.number,
                    tools::Counted(table.entry_count, "entry", "entries"), Bytes(table.file_bytes),
                    Filters(filters), "", kBarColumns, KeyToString(table.smallest.view()), "",
                    kBarColumns, KeyToString(table.largest.view())));
  }

  const std::string store_;
  const ManifestState& state_;
  Report& report_;
  FilterSum all_;
  double wasted_reads_ = 0;
  uint64_t largest_run_bytes_ = 0;
};

}  // namespace

void PrintTree(const std::string& directory, const LoadedManifest& loaded, Report& report) {
  TreePrinter(directory, loaded, report).Run();
}

}  // namespace lamina::sst_dump
