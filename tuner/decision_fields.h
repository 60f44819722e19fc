// The fields of a decision record, listed once: the JSON writer, the encoder and the decoder walk
// the same list and cannot differ. Internal to the tuner.
//
// An archive has, for a named value: Number (uint64_t, uint32_t, uint8_t, double, bool), Enum,
// Object (a struct with a DescribeFields of its own) and List. The order is the binary format's:
// change it only together with kJournalVersion. Archives that only read the record get a copy of
// it.
#ifndef LAMINA_TUNER_DECISION_FIELDS_H_
#define LAMINA_TUNER_DECISION_FIELDS_H_

#include <span>

#include "tuner/decision_record.h"

namespace lamina::tuner {

template <class Archive>
void DescribeFields(Archive& a, WorkloadCounters& v) noexcept {
  a.Number("puts_written", v.puts_written);
  a.Number("puts_present", v.puts_present);
  a.Number("put_lookups", v.put_lookups);
  a.Number("lookups_missing", v.lookups_missing);
  a.Number("lookups_existing", v.lookups_existing);
  a.Number("stem_scans", v.stem_scans);
  a.Number("stem_scan_entries", v.stem_scan_entries);
  a.Number("missing_stems", v.missing_stems);
  a.Number("missing_stem_entries", v.missing_stem_entries);
  a.Number("long_scans", v.long_scans);
  a.Number("long_scan_entries", v.long_scan_entries);
}

template <class Archive>
void DescribeFields(Archive& a, WorkloadMix& v) noexcept {
  a.Number("puts", v.puts);
  a.Number("missing", v.missing);
  a.Number("existing", v.existing);
  a.Number("stem_scans", v.stem_scans);
  a.Number("missing_stems", v.missing_stems);
  a.Number("long_scans", v.long_scans);
  a.Number("put_duplicates", v.put_duplicates);
  a.Number("put_lookups", v.put_lookups);
  a.Number("stem_scan_entries", v.stem_scan_entries);
  a.Number("missing_stem_entries", v.missing_stem_entries);
  a.Number("long_scan_entries", v.long_scan_entries);
}

template <class Archive>
void DescribeFields(Archive& a, StoreFacts& v) noexcept {
  a.Number("entries", v.entries);
  a.Number("entry_bytes", v.entry_bytes);
  a.Number("memtable_entry_bytes", v.memtable_entry_bytes);
  a.Number("deaths_per_put", v.deaths_per_put);
  a.Number("level_headroom", v.level_headroom);
  a.Number("journal_bytes", v.journal_bytes);
  a.Number("block_bytes", v.block_bytes);
  a.Number("fixed_filter_bits", v.fixed_filter_bits);
  a.Number("page_bytes", v.page_bytes);
  a.Number("log_write_amplification", v.log_write_amplification);
  a.Number("cache_hit_ratio", v.cache_hit_ratio);
  a.Number("stem_runs", v.stem_runs);
  a.Number("merge_cpu_s", v.merge_cpu_s);
  a.Number("filter_check_s", v.filter_check_s);
}

template <class Archive>
void DescribeFields(Archive& a, DeviceModel& v) noexcept {
  a.Number("read_latency_s", v.read_latency_s);
  a.Number("read_device_s", v.read_device_s);
  a.Number("read_bytes_per_s", v.read_bytes_per_s);
  a.Number("write_bytes_per_s", v.write_bytes_per_s);
}

template <class Archive>
void DescribeFields(Archive& a, DecisionLimits& v) noexcept {
  a.Number("mix_trigger", v.mix_trigger);
  a.Number("growth_trigger", v.growth_trigger);
  a.Number("error_multiple", v.error_multiple);
  a.Number("dwell_memtables", v.dwell_memtables);
}

template <class Archive>
void DescribeFields(Archive& a, TreeShape& v) noexcept {
  a.Number("size_ratio", v.size_ratio);
  a.Numbers("upper_runs", std::span(v.upper_runs));
  a.Number("last_runs", v.last_runs);
  a.Number("memtable_bytes", v.memtable_bytes);
  a.Number("filter_bits", v.filter_bits);
}

template <class Archive>
void DescribeFields(Archive& a, LevelPrediction& v) noexcept {
  a.Number("entries", v.entries);
  a.Number("runs", v.runs);
  a.Number("filter_bits_per_key", v.filter_bits_per_key);
  a.Number("false_positive_rate", v.false_positive_rate);
  a.Number("copies", v.copies);
  a.Number("cache_hit_ratio", v.cache_hit_ratio);
  a.Number("missing_reads", v.missing_reads);
}

template <class Archive>
void DescribeFields(Archive& a, Prediction& v) noexcept {
  a.Levels("levels", v.level_count, std::span(v.levels));
  a.Number("copies", v.copies);
  a.Number("missing_reads", v.missing_reads);
  a.Number("existing_reads", v.existing_reads);
  a.Number("missing_checks", v.missing_checks);
  a.Number("existing_checks", v.existing_checks);
  a.Number("stem_reads", v.stem_reads);
  a.Number("stem_checks", v.stem_checks);
  a.Number("missing_stem_reads", v.missing_stem_reads);
  a.Number("long_scan_seeks", v.long_scan_seeks);
  a.Number("long_scan_bytes", v.long_scan_bytes);
  a.Number("filter_bits", v.filter_bits);
  a.Number("put_s", v.put_s);
  a.Number("missing_s", v.missing_s);
  a.Number("existing_s", v.existing_s);
  a.Number("stem_s", v.stem_s);
  a.Number("long_scan_s", v.long_scan_s);
  a.Number("index_s", v.index_s);
  a.Number("fixed_s", v.fixed_s);
}

template <class Archive>
void DescribeFields(Archive& a, Candidate& v) noexcept {
  a.Shape("shape", v.shape, v.prediction);
  a.Object("prediction", v.prediction);
  a.Number("regret_s", v.regret_s);
}

template <class Archive>
void DescribeFields(Archive& a, TransitionCost& v) noexcept {
  a.Number("entries", v.entries);
  a.Number("device_s", v.device_s);
  a.Number("cpu_s", v.cpu_s);
  a.Number("wait_entries", v.wait_entries);
  a.Number("return_s", v.return_s);
}

template <class Archive>
void DescribeFields(Archive& a, DecisionInputs& v) noexcept {
  a.Number("operations", v.operations);
  a.Number("entries_written", v.entries_written);
  a.Number("current_s", v.current_s);
  a.Number("best_s", v.best_s);
  a.Number("regret_before_s", v.regret_before_s);
  a.Number("transition_s", v.transition_s);
  a.Number("return_s", v.return_s);
  a.Number("wait_entries", v.wait_entries);
  a.Number("error_sd", v.error_sd);
  a.Number("memtable_entries", v.memtable_entries);
  a.Number("dwell_entries", v.dwell_entries);
}

template <class Archive>
void DescribeFields(Archive& a, DecisionOutcome& v) noexcept {
  a.Enum("verdict", v.verdict, Verdict::kSwitch, VerdictName);
  a.Number("gain_s", v.gain_s);
  a.Number("required_gain_s", v.required_gain_s);
  a.Number("regret_after_s", v.regret_after_s);
  a.Number("threshold_s", v.threshold_s);
  a.Number("dwell_required", v.dwell_required);
  a.Number("waiting_s", v.waiting_s);
  a.Number("eager", v.eager);
}

template <class Archive>
void DescribeFields(Archive& a, Measurement& v) noexcept {
  a.Number("predicted_s", v.predicted_s);
  a.Number("measured_s", v.measured_s);
  a.Number("put_predicted_s", v.put_predicted_s);
  a.Number("put_measured_s", v.put_measured_s);
}

template <class Archive>
void DescribeFields(Archive& a, Aftermath& v) noexcept {
  a.Number("windows", v.windows);
  a.Number("operations", v.operations);
  a.Object("mean", v.mean);
}

template <class Archive>
void DescribeFields(Archive& a, DecisionRecord& v) noexcept {
  a.Number("sequence", v.sequence);
  a.Number("applied", v.applied);
  a.Enum("trigger", v.trigger, Trigger::kGrowth, TriggerName);
  a.Number("mix_distance", v.mix_distance);
  a.Object("counters", v.counters);
  a.Object("mix", v.mix);
  a.Object("facts", v.facts);
  a.Object("device", v.device);
  a.Number("latency_weight", v.latency_weight);
  a.Object("limits", v.limits);
  a.Object("current", v.current);
  a.Object("present", v.present);
  a.List("candidates", v.candidates, DecisionRecord::kMaxCandidates);
  a.Object("transition", v.transition);
  a.Object("inputs", v.inputs);
  a.Object("outcome", v.outcome);
  a.Number("error_mean_ratio", v.error_mean_ratio);
  a.Object("measured", v.measured);
  a.Object("after", v.after);
}

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_DECISION_FIELDS_H_
