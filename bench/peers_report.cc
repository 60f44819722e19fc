#include "bench/peers_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lamina::bench {
namespace {

constexpr char kNotes[] =
    "MB/s      medians of the rounds; a megabyte is 10^6 bytes; puts include the final sync\n"
    "raw       ratio to raw in the same round: median (least-greatest); of calls for probes\n"
    "cores     CPU seconds of the process over wall seconds, median\n"
    "p50, p99  of a call, over all rounds\n"
    "estimates what the store is asked before each restore, against what that takes: |estimated -\n"
    "          actual| / actual of all rounds; the question counts as part of the restore\n"
    "wrong     pages whose bytes were not what was put; lost: not stored or not handed back\n";
constexpr char kWriterNotes[] =
    "writer    what a writer beside the restores does, and its ratio to its puts alone\n"
    "solo      ratio of the restores to those without a writer, and the p50 of those\n";

bool SameShape(const Shape& a, const Shape& b) {
  return a.page_bytes == b.page_bytes && a.batch == b.batch && a.fragments == b.fragments &&
         a.misalign_bytes == b.misalign_bytes && a.recycled == b.recycled;
}

const char* BlocksName(const Shape& shape) { return shape.recycled ? "recycled" : "fresh"; }

std::string Title(const Shape& shape) {
  std::string title = fmt::format("{} bytes a page, {} a batch, {} blocks", shape.page_bytes,
                                  shape.batch, BlocksName(shape));
  if (shape.fragments > 1) title += fmt::format(", {} fragments a page", shape.fragments);
  if (shape.misalign_bytes > 0) {
    title += fmt::format(", buffers {} bytes off alignment", shape.misalign_bytes);
  }
  return title;
}

std::string RatioText(const RatioFigures& ratio) {
  return fmt::format("{:.2f} ({:.2f}-{:.2f})", ratio.median, ratio.least, ratio.greatest);
}

std::string Line(const PeerRow& row) {
  std::string operation(PeerOpName(row.op));
  if (row.threads > 1) operation += fmt::format(" x{}", row.threads);
  std::string line =
      fmt::format("{:<22} {:<13} {:>7} {:>18} {:>6.2f} {:>10.1f} {:>10.1f}", operation, row.engine,
                  row.bytes > 0 ? fmt::format("{:.0f}", row.mb_per_s) : "-",
                  row.to_raw ? RatioText(*row.to_raw) : "-", row.cpu_cores, row.p50_us, row.p99_us);
  if (row.wrong_pages > 0) line += fmt::format("  {} WRONG", row.wrong_pages);
  if (row.missing_pages > 0) line += fmt::format("  {} lost", row.missing_pages);
  line += '\n';
  if (row.estimates) {
    line += fmt::format("{:<36} estimates off by {:.0f} % (p50), {:.0f} % (p95)\n", "",
                        100 * row.estimates->p50, 100 * row.estimates->p95);
  }
  if (row.beside_writer) {
    line += fmt::format(
        "{:<36} writer {:.0f} MB/s, {}; solo {}, p50 {:.1f}\n", "",
        row.beside_writer->writer_mb_per_s, RatioText(row.beside_writer->writer_to_solo),
        RatioText(row.beside_writer->restore_to_solo), row.beside_writer->solo_p50_us);
  }
  return line;
}

}  // namespace

nlohmann::json ToJson(const PeerRow& row) {
  nlohmann::json json = {
      {"engine", row.engine},
      {"op", PeerOpName(row.op)},
      {"page_bytes", row.shape.page_bytes},
      {"batch", row.shape.batch},
      {"threads", row.threads},
      {"fragments", row.shape.fragments},
      {"misalign_bytes", row.shape.misalign_bytes},
      {"blocks", BlocksName(row.shape)},
      {"rounds", row.rounds},
      {"bytes", row.bytes},
      {"mb_per_s", row.mb_per_s},
      {"calls_per_s", row.calls_per_s},
      {"ratio_to_raw", nullptr},
      {"ratio_spread", nullptr},
      {"ratio_least", nullptr},
      {"ratio_greatest", nullptr},
      {"cpu_cores", row.cpu_cores},
      {"p50_us", row.p50_us},
      {"p99_us", row.p99_us},
      {"wrong_pages", row.wrong_pages},
      {"missing_pages", row.missing_pages},
      {"estimate_error_p50", nullptr},
      {"estimate_error_p95", nullptr},
  };
  if (row.estimates) {
    json["estimate_error_p50"] = row.estimates->p50;
    json["estimate_error_p95"] = row.estimates->p95;
  }
  if (row.to_raw) {
    json["ratio_to_raw"] = row.to_raw->median;
    json["ratio_spread"] = row.to_raw->spread();
    json["ratio_least"] = row.to_raw->least;
    json["ratio_greatest"] = row.to_raw->greatest;
  }
  if (row.beside_writer) {
    json["writer_mb_per_s"] = row.beside_writer->writer_mb_per_s;
    json["writer_ratio_to_solo"] = row.beside_writer->writer_to_solo.median;
    json["ratio_to_solo"] = row.beside_writer->restore_to_solo.median;
    json["solo_p50_us"] = row.beside_writer->solo_p50_us;
  }
  return json;
}

std::string FormatPeerTable(std::span<const PeerRow> rows) {
  std::string table;
  bool has_writer = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    const PeerRow& row = rows[i];
    if (i == 0 || !SameShape(rows[i - 1].shape, row.shape)) {
      table += fmt::format("{}{}\n{:<22} {:<13} {:>7} {:>18} {:>6} {:>10} {:>10}\n",
                           i == 0 ? "" : "\n", Title(row.shape), "operation", "engine", "MB/s",
                           "raw", "cores", "p50 us", "p99 us");
    } else if (rows[i - 1].op != row.op || rows[i - 1].threads != row.threads) {
      table += '\n';
    }
    table += Line(row);
    has_writer = has_writer || row.beside_writer.has_value();
  }
  return table + "\n" + kNotes + (has_writer ? kWriterNotes : "");
}

}  // namespace lamina::bench
