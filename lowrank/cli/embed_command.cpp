// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/embed_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/array_inputs.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/run_progress.h"
#include "lowrank/cli/validators.h"
#include "lowrank/cli/vector_writer.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/serve/embed.h"

namespace lowrank::cli {
namespace {

std::optional<models::Pooling> pooling_of(const std::string& name) {
  if (name == "mean") return models::Pooling::kMean;
  if (name == "cls") return models::Pooling::kCls;
  if (name == "max") return models::Pooling::kMax;
  return std::nullopt;
}

serve::EmbedOptions options_of(const EmbedFlags& flags) {
  return {.pooling = pooling_of(flags.pooling),
          .normalize = !flags.no_normalize,
          .pieces = piece_options(flags.inference),
          .token_budget = flags.inference.token_budget};
}

class EmbedRun {
 public:
  EmbedRun(const EmbedFlags& flags, const serve::TextModel& model, const Console& console)
      : flags_(flags),
        console_(console),
        progress_(console),
        model_length_(model.max_length),
        embedder_(model, options_of(flags)),
        writer_(make_vector_writer(flags.format.empty() ? "jsonl" : flags.format, flags.output,
                                   embedder_.width(), console.out)),
        window_(flags.inference.token_budget,
                [this](const std::vector<serve::Pieces>& texts) { embed(texts); }) {
    embedder_.on_progress([this](int64_t tokens) { progress_.ran(tokens); });
  }

  int run() {
    const TextSource source(flags_.texts, console_, [this](const std::string& s) { complain(s); });
    progress_.expect(source.bytes());
    try {
      source.read([this](const serve::TextInput& input) { take(input); });
      window_.flush();
    } catch (const Stopped&) {
      progress_.wipe();
      console_.err << fmt::format(
          "lowrank embed: interrupted after {}{}.\n", counted(texts_, "text"),
          flags_.output.empty() ? "" : "; " + flags_.output + " is as it was");
      return kInterrupted;
    }
    writer_->commit();
    progress_.wipe();
    report();
    return complaints_ > 0 ? kFailed : kDone;
  }

 private:
  void complain(const std::string& sentence) {
    ++complaints_;
    progress_.print("lowrank embed: " + sentence);
  }

  void take(const serve::TextInput& input) {
    progress_.take(std::ssize(input.text) + 1);
    serve::Pieces pieces;
    try {
      pieces = embedder_.cut(input);
    } catch (const Error& error) {
      complain(error.what());
      return;
    }
    cut_ += pieces.pieces.size() > 1 ? 1 : 0;
    spread_ += pieces.pieces.size() == 1 && pieces.tokens() > model_length_ ? 1 : 0;
    truncated_ += pieces.truncated ? 1 : 0;
    window_.add(std::move(pieces));
  }

  void embed(const std::vector<serve::Pieces>& texts) {
    const at::Tensor vectors = embedder_.embed(texts);
    std::vector<std::string> sources;
    for (const serve::Pieces& text : texts) sources.push_back(text.source);
    texts_ += std::ssize(texts);
    progress_.wipe();  // the vectors may go to the same terminal
    writer_->write(sources, vectors);
  }

  void say(const std::string& sentence) const {
    console_.err << "lowrank embed: " << sentence << '\n';
  }

  void report() const {
    const int64_t length =
        flags_.inference.max_length > 0 ? flags_.inference.max_length : model_length_;
    if (cut_ > 0) {
      say(
          fmt::format("{} had more than {} tokens; the vector is the mean of the chunks', by their "
                      "tokens. Use --on-overflow interpolate for one pass.",
                      counted(cut_, "text"), grouped(length)));
    }
    if (spread_ > 0) {
      say(fmt::format(
          "{} had more than {} tokens, which the model was made for; its positions were "
          "spread over each. Without training the mean of chunks is often better.",
          counted(spread_, "text"), grouped(model_length_)));
    }
    if (truncated_ > 0) {
      say(
          fmt::format("only the first {} tokens of {} were read. Use --on-overflow chunk to embed "
                      "the whole of each.",
                      grouped(length), counted(truncated_, "text")));
    }
    if (complaints_ > 0 && flags_.format == "npy") {
      say(fmt::format("{} has no rows for the inputs named above.", flags_.output));
    }
    if (texts_ == 0 && complaints_ > 0) return;  // they say it all
    say(fmt::format("{}, {}, {} tokens/s, peak memory {} MiB", counted(texts_, "text"),
                    counted(progress_.tokens(), "token"), grouped(progress_.speed()),
                    grouped(peak_memory_bytes() >> 20)));
  }

  const EmbedFlags& flags_;
  const Console& console_;
  RunProgress progress_;
  const int64_t model_length_;
  serve::Embedder embedder_;
  std::unique_ptr<VectorWriter> writer_;
  serve::PieceWindow window_;
  int64_t texts_ = 0;                             // done
  int64_t cut_ = 0, spread_ = 0, truncated_ = 0;  // texts
  int64_t complaints_ = 0;
};

}  // namespace

void add(CLI::App& app, EmbedFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  add(app, flags.texts);
  app.add_option("--pooling", flags.pooling,
                 "how a text's rows become one (default: as the model's configuration says)")
      ->check(one_of({"mean", "cls", "max"}))
      ->type_name("");
  app.add_flag("--no-normalize", flags.no_normalize, "leaves the vectors' lengths as they are");
  app.add_option("--format", flags.format, "of the vectors (default: jsonl)")
      ->check(one_of({"jsonl", "csv", "npy"}))
      ->type_name("");
  app.add_option("--output", flags.output, "file to write or replace (default: standard output)")
      ->type_name("");
  add(app, flags.inference,
      "what to do with a text longer than max_length: chunk takes the mean of its chunks' vectors, "
      "interpolate reads it in one pass with positions spread over it; without training for that "
      "the mean is often better");
  app.footer(
      "EXAMPLE\n"
      "  lowrank embed models/minilm notes/ --format npy --output notes.npy\n"
      "  echo 'how long is long?' | lowrank embed models/minilm\n"
      "  lowrank embed models/attention rows.npy --output attended.npy      # a module of another "
      "package");
}

int run(const EmbedFlags& flags, const Console& console) {
  const std::filesystem::path folder = models::find_model(flags.model);
  if (models::is_foreign_folder(folder)) return embed_array(flags, folder, console);
  if (flags.format == "npy" && flags.output.empty()) {
    throw Misuse("--format = npy; an array goes to a file. Name it with --output.");
  }
  const serve::TextModel model = load(flags.model, flags.inference);
  return EmbedRun(flags, model, console).run();
}

}  // namespace lowrank::cli
