// The tuner's journal: its decisions, and whether the file is whole.
#ifndef LAMINA_TOOLS_SST_DUMP_TUNER_H_
#define LAMINA_TOOLS_SST_DUMP_TUNER_H_

#include <string>

#include "engine/io/file_system.h"
#include "tools/sst_dump_report.h"

namespace lamina::sst_dump {

// Each decision, oldest first (sst_dump_decision.h). In JSON: a line each, with all of the record
// (tuner/decision_record.h) under "decision".
void TunerPrint(FileSystem& fs, const std::string& path, Report& report);
void TunerVerify(FileSystem& fs, const std::string& path, Report& report);
// Of every tuner journal in a directory; says so if there is none.
void TunerPrintDirectory(FileSystem& fs, const std::string& directory, Report& report);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_TUNER_H_
