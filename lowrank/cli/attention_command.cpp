// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/attention_command.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "lowrank/analysis/effective_attention.h"
#include "lowrank/base/file.h"
#include "lowrank/cli/attention_report.h"
#include "lowrank/cli/escape.h"
#include "lowrank/cli/measured_progress.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/sample_sequences.h"
#include "lowrank/cli/text_flags.h"
#include "lowrank/cli/validators.h"
#include "lowrank/models/derive.h"

namespace lowrank::cli {
namespace {

// The text and its one sequence.
struct Read {
  std::string text;
  text::Encoded encoded;
};

Read read(const serve::TextModel& model, const AttentionFlags& flags) {
  Read result{.text = read_file(flags.file), .encoded = {}};
  text::EncodeOptions options{.special_tokens = reads_special_tokens(model)};
  if (flags.on_overflow == "truncate") options.max_length = model.max_length;
  result.encoded = text::encode(*model.tokenizer, result.text, options);
  const auto is_template = [](int8_t text) { return text == text::Encoded::kTemplate; };
  if (std::all_of(result.encoded.texts.begin(), result.encoded.texts.end(), is_template)) {
    throw Error(fmt::format("{} is empty; there is no token to read. Give a text.", flags.file));
  }
  return result;
}

// The model with positions for n tokens.
void reach(serve::TextModel& model, int64_t n, const AttentionFlags& flags) {
  if (n <= model.max_length) return;
  const bool tiles = flags.on_overflow == "tile";
  if (!tiles && flags.on_overflow != "interpolate") {
    throw Error(
        fmt::format("{}: {} tokens; the model takes {}. Use --on-overflow truncate, tile or "
                    "interpolate.",
                    flags.file, n, model.max_length));
  }
  const int64_t patch = model.model->config().embeddings.patch;
  model.model = models::with_positions(
      *model.model, (n + patch - 1) / patch,
      tiles ? models::PositionRule::kTile : models::PositionRule::kInterpolate);
  model.max_length = models::longest_sequence(model.model->config());
}

std::string text_of(const Read& read, const text::Span& bytes) {
  return read.text.substr(static_cast<size_t>(bytes.begin),
                          static_cast<size_t>(bytes.end - bytes.begin));
}

// Places are tokens, or patches of them.
std::vector<AttentionPlace> places_of(const serve::TextModel& model, const Read& read) {
  const auto patch = static_cast<size_t>(model.model->config().embeddings.patch);
  const text::Encoded& encoded = read.encoded;
  std::vector<AttentionPlace> places;
  for (size_t begin = 0; begin < encoded.ids.size(); begin += patch) {
    const size_t end = std::min(begin + patch, encoded.ids.size());
    AttentionPlace place{.token = {}, .bytes = {}, .is_text = false};
    for (size_t i = begin; i < end; ++i) {
      if (encoded.texts[i] == text::Encoded::kTemplate) {
        place.token += model.tokenizer->token(encoded.ids[i]);
        continue;
      }
      place.token += text_of(read, encoded.spans[i]);
      place.bytes.begin = place.is_text ? place.bytes.begin : encoded.spans[i].begin;
      place.bytes.end = encoded.spans[i].end;
      place.is_text = true;
    }
    places.push_back(std::move(place));
  }
  return places;
}

std::string kind_in_words(const AttentionKind& kind) {
  if (const auto* nystrom = std::get_if<NystromOptions>(&kind)) {
    return fmt::format("nystrom with {}", counted(nystrom->landmarks, "landmark"));
  }
  if (const auto* linformer = std::get_if<LinformerOptions>(&kind)) {
    return fmt::format("linformer with {}", counted(linformer->projected, "row"));
  }
  return "exact attention";
}

std::vector<double> numbers(const at::Tensor& row) {
  const at::Tensor values = row.to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

// Fills a report with what the flags ask for.
class AttentionRun {
 public:
  AttentionRun(const AttentionFlags& flags, const serve::TextModel& model, const Read& read)
      : flags_(flags), model_(model), inputs_(inputs_of(read.encoded, model)) {
    report_.text = read.text;
    report_.places = places_of(model, read);
  }

  AttentionReport measure() {
    const models::ModelConfig& config = model_.model->config();
    const int64_t layer = flags_.layer.value_or(config.layers - 1);
    report_.title = fmt::format("{}, ", counted(std::ssize(report_.places), "token"));
    if (!flags_.rows.empty() || !flags_.columns.empty()) {
      report_.title += fmt::format("layer {}, ", layer);
    }
    report_.title += flags_.head ? fmt::format("head {}, ", *flags_.head)
                                 : fmt::format("mean of {}, ", counted(config.heads, "head"));
    add(analysis::Side::kRows, "row", " reads", layer, flags_.rows);
    add(analysis::Side::kColumns, "column", " is read by", layer, flags_.columns);
    const bool nothing_asked = flags_.rows.empty() && flags_.columns.empty();
    if (!flags_.rollout.empty() || nothing_asked) add_rollout();
    report_.title += kind_in_words(
        models::attention_of_layer(config, std::clamp<int64_t>(layer, 0, config.layers - 1)));
    return std::move(report_);
  }

 private:
  // "row 0 [CLS]"
  std::string name_of(const char* what, int64_t place) const {
    return fmt::format("{} {} {}", what, place,
                       escaped(report_.places[static_cast<size_t>(place)].token));
  }

  void add(analysis::Side side, const char* what, const char* does, int64_t layer,
           const std::vector<int64_t>& places) {
    if (places.empty()) return;
    std::vector<std::string>* notes = report_.notes.empty() ? &report_.notes : nullptr;
    const at::Tensor weights =
        analysis::look(*model_.model, inputs_, layer, flags_.head, side, places, notes);
    for (size_t i = 0; i < places.size(); ++i) {
      report_.vectors.push_back(
          {name_of(what, places[i]) + does, numbers(weights[static_cast<int64_t>(i)])});
    }
  }

  void add_rollout() {
    const std::optional<int64_t> from = rollout_from();
    std::vector<std::string> notes;
    const at::Tensor weights =
        analysis::rollout(*model_.model, inputs_, {.from = from, .head = flags_.head}, &notes);
    for (const std::string& note : notes) {
      if (std::find(report_.notes.begin(), report_.notes.end(), note) == report_.notes.end()) {
        report_.notes.push_back(note);
      }
    }
    const std::string name = from ? name_of("rollout from row", *from) : "rollout from all rows";
    report_.vectors.push_back({name, numbers(weights)});
  }

  // The row, or none for the mean of all: by default what the model pools.
  std::optional<int64_t> rollout_from() const {
    if (flags_.rollout == "mean") return std::nullopt;
    if (flags_.rollout == "cls") return 0;
    if (flags_.rollout.empty()) {
      const bool cls = model_.model->config().pooling == models::Pooling::kCls;
      return cls ? std::optional<int64_t>(0) : std::nullopt;
    }
    return std::stoll(flags_.rollout);
  }

  const AttentionFlags& flags_;
  const serve::TextModel& model_;
  models::Inputs inputs_;
  AttentionReport report_;
};

CLI::Validator row_name() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        int64_t place = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), place);
        const bool is_place = code == std::errc() && end == text.data() + text.size() && place >= 0;
        if (text == "cls" || text == "mean" || is_place) return "";
        return fmt::format("{} is neither cls nor mean nor a place", text);
      },
      "cls, mean or a place");
}

void write(const AttentionReport& report, const AttentionFlags& flags, const Console& console) {
  if (!flags.csv.empty()) replace_file(flags.csv, to_csv(report));
  if (!flags.html.empty()) replace_file(flags.html, to_html(report));
  draw(to_plot(report), flags.png, console);
  if (flags.json) {
    console.out << to_json(report).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {
    print(report, flags.top, console.out);
  }
}

}  // namespace

void add(CLI::App& app, AttentionFlags& flags) {
  constexpr int64_t kMostPlaces = int64_t{1} << 32;
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  app.add_option("FILE", flags.file, "the text")->required()->type_name("");
  const auto add_places = [&](const char* name, std::vector<int64_t>& places, const char* help) {
    app.add_option(name, places, help)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(whole_number(0, kMostPlaces))
        ->type_name("");
  };
  add_places("--rows", flags.rows, "what these tokens read, places from 0, separated by commas");
  add_places("--columns", flags.columns, "who reads these tokens");
  app.add_option("--rollout", flags.rollout,
                 "what a row of the last layer holds of each token through all layers, half kept "
                 "and half read in each: of cls (row 0), the mean of all rows, or a place "
                 "(default, where neither rows nor columns are asked for: what the model pools)")
      ->check(row_name())
      ->type_name("");
  app.add_option("--layer", flags.layer, "of rows and columns, from 0 (default: the last)")
      ->check(whole_number(0, 1'000'000))
      ->type_name("");
  app.add_option("--head", flags.head, "from 0 (default: the mean of the heads)")
      ->check(whole_number(0, 1'000'000))
      ->type_name("");
  app.add_option("--on-overflow", flags.on_overflow,
                 "what to do with a text longer than the model takes: cut it, or repeat or spread "
                 "the model's positions")
      ->check(one_of({"error", "truncate", "tile", "interpolate"}))
      ->type_name("")
      ->capture_default_str();
  add_device(app, flags.device, flags.dtype);
  app.add_option("--top", flags.top, "tokens that are printed, the largest first")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--json", flags.json, "prints JSON");
  app.add_option("--csv", flags.csv, "file to write: a line a token")->type_name("");
  app.add_option("--html", flags.html, "page to write: the text, colored")->type_name("");
  app.add_option("--png", flags.png, "picture to draw: the tokens, colored")->type_name("");
  app.footer(
      "The matrix is the one that the layer multiplies its values with: softmax(s q k^T), or "
      "Nystrom's\n"
      "F Z B, or Linformer's P E, whose entries may be negative. It is never made: time and "
      "memory\n"
      "grow with the length (the columns and the rollout of exact attention: with its square).\n\n"
      "EXAMPLE\n"
      "  lowrank analyze attention models/minilm note.txt --rows 0 --html note.html\n"
      "  lowrank analyze attention models/long novel.txt --rollout mean --on-overflow tile");
}

int run(const AttentionFlags& flags, const Console& console) {
  require_folder("--csv", flags.csv);
  require_folder("--html", flags.html);
  require_folder("--png", flags.png);
  serve::TextModel model = serve::load_text_model(flags.model, flags.device, flags.dtype);
  const Read text = read(model, flags);
  reach(model, std::ssize(text.encoded.ids), flags);
  if (text.encoded.truncated) {
    console.err << fmt::format("note: only the first {} tokens of {} were read\n",
                               grouped(std::ssize(text.encoded.ids)), flags.file);
  }
  write(AttentionRun(flags, model, text).measure(), flags, console);
  return kDone;
}

}  // namespace lowrank::cli
