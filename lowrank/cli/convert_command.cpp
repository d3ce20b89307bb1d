// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/convert_command.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <set>

#include "lowrank/base/file.h"
#include "lowrank/cli/convert_report.h"
#include "lowrank/cli/convert_source.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/model_summary.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/cli/validators.h"
#include "lowrank/models/closeness.h"
#include "lowrank/models/derive.h"
#include "lowrank/models/hugging_face.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/serve/read_texts.h"
#include "lowrank/text/tokenizer_files.h"
#include "lowrank/train/distill_checkpoint.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

using ModelPointer = std::shared_ptr<models::Model>;

// What `auto` tries in a layer, the cheapest first.
constexpr int64_t kLandmarks[] = {16, 32, 64, 128, 256};
constexpr size_t kMeasured = 32;  // sequences that attention is chosen on

[[noreturn]] void misuse(const std::string& sentence) {
  throw Misuse("lowrank convert: " + sentence + " See \"lowrank convert --help\".");
}

int64_t layer_number(const std::string& text, int64_t layers, const std::string& flag) {
  const bool digits =
      !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  const int64_t layer = digits ? std::stoll(text) : -1;
  if (layer >= 0 && layer < layers) return layer;
  misuse(fmt::format("--layers = {}; layers are numbers from 0 to {}, as in 0,2-5.", flag,
                     layers - 1));
}

// "2-5,7" as a set; all layers where it is empty.
std::set<int64_t> layer_set(const std::string& flag, int64_t layers) {
  std::set<int64_t> chosen;
  if (flag.empty()) {
    for (int64_t i = 0; i < layers; ++i) chosen.insert(i);
  }
  for (size_t begin = 0; begin < flag.size();) {
    const size_t end = std::min(flag.find(',', begin), flag.size());
    const std::string part = flag.substr(begin, end - begin);
    const size_t dash = part.find('-');
    const int64_t first = layer_number(part.substr(0, dash), layers, flag);
    const int64_t last =
        dash == std::string::npos ? first : layer_number(part.substr(dash + 1), layers, flag);
    if (last < first) misuse(fmt::format("--layers = {}; {} is no range.", flag, part));
    for (int64_t i = first; i <= last; ++i) chosen.insert(i);
    begin = end + 1;
  }
  return chosen;
}

AttentionKind kind_of(const ConvertFlags& flags, const models::ModelConfig& config) {
  if (flags.attention == "exact") return ExactOptions{};
  if (flags.attention == "nystrom") {
    return NystromOptions{.landmarks = flags.landmarks.value_or(64), .conv = flags.conv};
  }
  LinformerOptions linformer{.projected = flags.projected,
                             .max_length = config.embeddings.max_positions};
  linformer.projection = flags.projection == "linear"      ? LinformerProjection::kLinear
                         : flags.projection == "mean_pool" ? LinformerProjection::kMeanPool
                                                           : LinformerProjection::kConv;
  linformer.sharing = flags.sharing == "none" ? LinformerSharing::kNone
                      : flags.sharing == "kv" ? LinformerSharing::kKeyValue
                                              : LinformerSharing::kHeadwise;
  return linformer;
}

std::vector<std::string> read_texts(const std::vector<std::string>& paths) {
  const auto refuse = [](const std::string& sentence) { throw Error(sentence); };
  std::vector<std::string> texts;
  for (const fs::path& file : serve::find_texts(paths, refuse)) texts.push_back(read_file(file));
  return texts;
}

Json json_of(models::ModelConfig config) {
  return write_config([&](ConfigFields& fields) { describe(fields, config); });
}

// Converts one model; each step takes the one before it.
class Conversion {
 public:
  Conversion(const ConvertFlags& flags, const Console& console)
      : flags_(flags), console_(console), source_(open_source(flags)) {
    for (const std::string& note : source_.notes) say("note: " + note);
  }

  int run() {
    if (const auto* foreign = std::get_if<models::ForeignModel>(&source_.model)) {
      return save_module(*foreign);
    }
    model_ = std::get<ModelPointer>(source_.model);
    read_teacher();
    extend_positions();
    flags_.resume ? take_up() : replace_attention();
    if (!flags_.distill.empty()) distill();
    report_.what = source_.what;
    report_.is = in_words(model_->config());
    save();
    if (compared_ && !interrupted_) measure_cost();
    print(report_, flags_.json, console_);
    if (interrupted_) {
      say(
          fmt::format("interrupted; {} has what was learnt by then. The same command with --resume "
                      "goes on from there.",
                      flags_.out));
    }
    return interrupted_ ? kInterrupted : kDone;
  }

 private:
  void say(const std::string& line) const { console_.err << "lowrank convert: " << line << '\n'; }

  int save_module(const models::ForeignModel& foreign) {
    if (flags_.to != "lowrank" || !flags_.attention.empty() || !flags_.distill.empty() ||
        flags_.max_positions > 0) {
      misuse(
          fmt::format("{} is a module, not an encoder; it converts as it is. Leave --to, "
                      "--attention, --max-positions and --distill away.",
                      source_.what));
    }
    AtomicDirectory directory(flags_.out);
    models::save_foreign(foreign, directory.path());
    directory.commit();
    console_.out << fmt::format("{}: {} as it is\n", flags_.out, source_.what);
    return kDone;
  }

  // The model before its attention is replaced, unless another is named.
  void read_teacher() {
    teacher_ = model_;
    if (flags_.teacher.empty()) return;
    teacher_ = models::load_model(models::find_model(flags_.teacher));
    const models::ModelConfig &ours = model_->config(), &theirs = teacher_->config();
    if (ours.width == theirs.width && ours.layers == theirs.layers) return;
    throw Error(
        fmt::format("--teacher {}: it has {} layers of width {}, the student {} of {}; a student "
                    "learns layer by layer. Use the model that it was made from.",
                    flags_.teacher, theirs.layers, theirs.width, ours.layers, ours.width));
  }

  void extend_positions() {
    if (flags_.max_positions == 0) return;
    const auto rule = flags_.positions == "tile" ? models::PositionRule::kTile
                                                 : models::PositionRule::kInterpolate;
    model_ = models::with_positions(*model_, flags_.max_positions, rule);
  }

  // The student that an interrupted distillation left in OUT.
  void take_up() {
    const ModelPointer student = models::load_model(flags_.out);
    if (!flags_.attention.empty() && flags_.attention != "auto") {
      model_ = models::with_attention(*model_, named_kinds());
    }
    Json asked = json_of(model_->config());
    const Json left = json_of(student->config());
    if (flags_.attention == "auto") asked["attention"] = left["attention"];  // it was measured
    if (asked != left) {
      throw Error(fmt::format(
          "{}: its student is \"{}\", and the command asks for \"{}\". Repeat the command that it "
          "began with, with --resume.",
          flags_.out, in_words(student->config()), in_words(model_->config())));
    }
    model_ = student;
  }

  // With what --attention and --layers name.
  std::vector<AttentionKind> named_kinds() const {
    const int64_t layers = model_->config().layers;
    std::vector<AttentionKind> kinds;
    for (int64_t i = 0; i < layers; ++i) {
      kinds.push_back(models::attention_of_layer(model_->config(), i));
    }
    for (const int64_t i : layer_set(flags_.layers, layers)) {
      kinds[static_cast<size_t>(i)] = kind_of(flags_, model_->config());
    }
    return kinds;
  }

  void replace_attention() {
    if (flags_.attention.empty()) return;
    const bool measures = flags_.attention == "auto";
    model_ = models::with_attention(*model_, measures ? choose() : named_kinds());
    if (!measures && !flags_.text.empty()) {
      report_.before = models::compare(*model_, *teacher_, measured_batches());
      compared_ = true;
    }
  }

  const std::shared_ptr<const text::Tokenizer>& tokenizer() {
    if (!tokenizer_) {
      tokenizer_ = text::make_tokenizer(model_->config().tokenizer, source_.folder);
    }
    return tokenizer_;
  }

  int64_t text_length() const {
    return std::min(flags_.length, models::longest_sequence(teacher_->config()));
  }

  std::vector<models::Inputs> measured_batches() {
    train::DistillData data =
        train::distill_data(read_texts(flags_.text), *tokenizer(), text_length());
    std::vector<std::vector<int64_t>>& sequences = data.training;
    if (sequences.size() > kMeasured) {  // evenly spread
      std::vector<std::vector<int64_t>> spread;
      for (size_t i = 0; i < kMeasured; ++i) {
        spread.push_back(sequences[i * sequences.size() / kMeasured]);
      }
      sequences = std::move(spread);
    }
    return train::batches_of(sequences, flags_.sequences);
  }

  std::vector<AttentionKind> choose() {
    if (flags_.text.empty()) misuse("--attention auto measures on your text; give it with --text.");
    std::vector<AttentionKind> candidates;
    for (const int64_t m : kLandmarks) {
      if (flags_.landmarks && m > *flags_.landmarks) break;
      candidates.push_back(NystromOptions{.landmarks = m, .conv = flags_.conv});
    }
    if (candidates.empty())
      misuse("--attention auto tries 16 landmarks and more; raise --landmarks.");
    ProgressBar bar(console_);
    const models::ChosenAttention chosen = models::choose_attention(
        *model_, candidates, flags_.min_cosine, measured_batches(),
        [&](double done) { bar.update(done, "measuring layer by layer"); });
    bar.wipe();
    report_.alone = chosen.alone;
    report_.before = chosen.closeness;
    compared_ = true;
    return chosen.kinds;
  }

  train::DistillOptions distill_options() const {
    train::DistillOptions options;
    options.minutes = flags_.minutes;
    options.steps = flags_.steps;
    options.length = text_length();
    options.sequences = flags_.sequences;
    options.learning_rate = flags_.learning_rate;
    options.target = flags_.target;
    options.seed = static_cast<uint64_t>(flags_.seed);
    options.precision =
        flags_.precision == "bfloat16" ? train::Precision::kBfloat16 : train::Precision::kFloat32;
    return options;
  }

  void distill() {
    const train::DistillOptions options = distill_options();
    distilled_data_ = train::distill_data(read_texts(flags_.distill), *tokenizer(), options.length);
    const train::DistillData& data = distilled_data_;
    std::optional<train::DistillState> from;
    if (flags_.resume) from = train::load_distillation(flags_.out, options, data, *teacher_);
    say(fmt::format("learning from {} sequences of {} tokens, {} held out",
                    grouped(std::ssize(data.training)), grouped(options.length),
                    data.held_out.size()));
    ProgressBar bar(console_);
    const StopSignal stop;
    double told = 0;
    const train::DistillResult result = train::distill(
        *model_, *teacher_, data, options,
        [&](const train::DistillProgress& progress) {
          const std::string text =
              fmt::format("step {}  loss {:.4f}  cosine {:.4f}  {} left", grouped(progress.step),
                          progress.loss, progress.cosine, duration(progress.seconds_left));
          bar.update(std::min(progress.done, 1.0), text);
          if (console_.err_is_terminal || progress.done < told) return;
          told = progress.done + 0.05;
          bar.print(fmt::format("{}  {}", text, percent(progress.done, 0)));
        },
        stop.raised(), from ? &*from : nullptr);
    bar.wipe();
    report_.distilled = result;
    report_.before = result.before;
    compared_ = true;
    interrupted_ = result.ended == train::DistillResult::Ended::kInterrupted;
  }

  // Both with as many positions as the longest input needs.
  void measure_cost() {
    for (const int64_t n : flags_.measure) {
      if (n <= 0) continue;
      report_.costs.push_back(cost_of(*teacher_, *model_, n));
    }
  }

  void save() {
    AtomicDirectory directory(flags_.out);
    if (interrupted_) {
      models::save_model(*model_, directory.path());
      train::save_distillation(directory.path(), distill_options(), distilled_data_, *teacher_,
                               report_.distilled->state);
    } else if (flags_.to == "huggingface") {
      for (const std::string& note : models::save_hugging_face(*model_, directory.path())) {
        say("note: " + note);
      }
    } else {
      models::save_model(*model_, directory.path());
    }
    if (model_->config().tokenizer == "files") copy_tokenizer(directory.path());
    directory.commit();
  }

  void copy_tokenizer(const fs::path& to) {
    try {
      text::copy_tokenizer_files(source_.folder, to);
    } catch (const Error& error) {
      say(fmt::format(
          "note: {} The model reads ids, and no text until its tokenizer's files lie in {}.",
          error.what(), flags_.out));
    }
  }

  const ConvertFlags& flags_;
  const Console& console_;
  ConvertSource source_;
  ModelPointer model_, teacher_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  ConvertReport report_;
  train::DistillData distilled_data_;
  bool compared_ = false;
  bool interrupted_ = false;
};

void check_usage(const ConvertFlags& flags) {
  if (flags.attention.empty() && flags.distill.empty() && !flags.text.empty()) {
    misuse("--text is what --attention is measured on; name a kind of attention.");
  }
  if (!flags.layers.empty() && (flags.attention.empty() || flags.attention == "auto")) {
    misuse("--layers says where --attention goes; name exact, nystrom or linformer.");
  }
  if (flags.resume && flags.distill.empty()) {
    misuse("--resume goes on with a --distill that was interrupted; repeat its command.");
  }
  if (fs::exists(flags.out) && !flags.force && !flags.resume) {
    throw Error(
        fmt::format("{} exists already. Give another OUT, or --force to replace it.", flags.out));
  }
  if (flags.conv % 2 == 0 && flags.conv != 0) {
    misuse(fmt::format("--conv = {}; it must be odd, or 0 for none.", flags.conv));
  }
}

// Flags that stand together in the help. None shows a type: its rule is enough.
class FlagGroup {
 public:
  FlagGroup(CLI::App& app, const char* name) : app_(app), name_(name) {}

  template <class Value>
  CLI::Option* add(const char* flag, Value& value, const char* help,
                   const CLI::Validator& rule = {}) const {
    return app_.add_option(flag, value, help)->check(rule)->type_name("")->group(name_);
  }

  CLI::Option* add(const char* flag, bool& value, const char* help) const {
    return app_.add_flag(flag, value, help)->group(name_);
  }

 private:
  CLI::App& app_;
  const char* name_;
};

void add_checkpoint_flags(CLI::App& app, ConvertFlags& flags) {
  const FlagGroup group(app, "What a checkpoint of another package does not tell");
  const auto number = [&](const char* name, std::optional<int64_t>& value, const char* help) {
    group.add(name, value, help, whole_number(1, 1'000'000'000));
  };
  number("--heads", flags.heads, "attention heads");
  number("--segment-length", flags.segment_length, "mlpen: seq_len");
  number("--max-length", flags.max_length, "linformer-pytorch, convolution: input_size");
  number("--inverse-steps", flags.inverse_steps, "nystrom-attention: pinv_iterations");
  number("--shared-layers", flags.shared_layers, "mlpen: layers that share their weights");
  group.add("--source-attention", flags.source_attention, "mlpen: attn_type",
            one_of({"softmax", "nystrom", "linformer"}));
  group.add("--head", flags.head, "fairseq: which classification head");
  group.add("--activation", flags.activation, "linformer-pytorch, fairseq",
            one_of({"gelu", "relu"}));
  group.add("--causal", flags.causal, "linformer-pytorch: causal");
  group.add("--full-attention", flags.full_attention, "linformer-pytorch: full_attention");
  group.add("--per-matrix-start", flags.per_matrix_start, "mlpen: inv_init_coeff_option");
}

void add_attention_flags(CLI::App& app, ConvertFlags& flags) {
  const FlagGroup group(app, "Other attention, more positions");
  group.add(
      "--attention", flags.attention,
      "attention that takes the place of the model's; auto picks layer by layer, by the error "
      "measured on --text",
      one_of({"exact", "nystrom", "linformer", "auto"}));
  group.add("--layers", flags.layers, "layers that get it, as in 2-5,7 (default: all)");
  group.add("--landmarks", flags.landmarks,
            "nystrom: landmarks (default 64); auto: the most; nystrom-attention, mlpen: of the "
            "checkpoint",
            whole_number(1, 65536));
  group
      .add("--conv", flags.conv, "nystrom: taps of the convolution, which starts from zeros",
           whole_number(0, 65535))
      ->capture_default_str();
  group
      .add("--projected", flags.projected, "linformer: projected rows", whole_number(1, 1'000'000))
      ->capture_default_str();
  group
      .add("--projection", flags.projection, "linformer: linear, mean_pool or conv",
           one_of({"linear", "mean_pool", "conv"}))
      ->capture_default_str();
  group
      .add("--sharing", flags.sharing, "linformer: none, headwise or kv",
           one_of({"none", "headwise", "kv"}))
      ->capture_default_str();
  group.add("--text", flags.text, "files or folders of text that the change is measured on");
  group
      .add("--min-cosine", flags.min_cosine,
           "auto: the least mean cosine of a text's vector to the model's before",
           CLI::Range(0.0, 1.0))
      ->capture_default_str();
  group.add("--max-positions", flags.max_positions, "tokens that the model takes (0: as it is)",
            whole_number(0, 100'000'000));
  group
      .add("--positions", flags.positions,
           "how positions grow: tile repeats, interpolate stretches",
           one_of({"tile", "interpolate"}))
      ->capture_default_str();
}

void add_distill_flags(CLI::App& app, ConvertFlags& flags) {
  const FlagGroup group(app, "Training against the model before");
  group.add("--distill", flags.distill, "files or folders of text to learn from");
  group.add("--resume", flags.resume,
            "goes on with OUT's interrupted training; repeat the command that began it");
  group.add("--teacher", flags.teacher, "the model to learn from (default: MODEL)");
  group.add("--minutes", flags.minutes, "by the clock", CLI::Range(0.01, 100'000.0))
      ->capture_default_str();
  group.add("--steps", flags.steps, "instead of minutes: the same bits each time",
            whole_number(1, 1'000'000'000));
  group.add("--length", flags.length, "tokens of a sequence", whole_number(8, 1'000'000))
      ->capture_default_str();
  group.add("--sequences", flags.sequences, "sequences of a step", whole_number(1, 4096))
      ->capture_default_str();
  group.add("--learning-rate", flags.learning_rate, "the highest", CLI::Range(1e-8, 1.0))
      ->capture_default_str();
  group
      .add("--target", flags.target, "stops at this mean cosine of held-out text",
           CLI::Range(0.0, 1.0))
      ->capture_default_str();
  group.add("--precision", flags.precision, "of the products", one_of({"float32", "bfloat16"}))
      ->capture_default_str();
  group.add("--seed", flags.seed, "of the order of the sequences", whole_number(0, 1'000'000'000));
  group
      .add("--measure", flags.measure, "lengths at which time and memory are compared; 0: none",
           whole_number(0, 1'000'000))
      ->delimiter(',')
      ->capture_default_str();
}

}  // namespace

void add(CLI::App& app, ConvertFlags& flags) {
  app.add_option("MODEL", flags.model,
                 "a run, a model's folder, or a checkpoint of another package")
      ->required()
      ->type_name("");
  app.add_option("OUT", flags.out, "the folder to write")->required()->type_name("");
  app.add_option("--to", flags.to, "whose directory OUT becomes")
      ->check(one_of({"lowrank", "huggingface"}))
      ->type_name("")
      ->capture_default_str();
  app.add_flag(
      "--fixed", flags.fixed,
      "leaves the other implementation's quirks away; \"lowrank info\" says which these are");
  app.add_flag("--force", flags.force, "replaces OUT");
  app.add_flag("--json", flags.json, "prints the report as JSON");
  add_attention_flags(app, flags);
  add_distill_flags(app, flags);
  add_checkpoint_flags(app, flags);
  app.footer(
      "Replaced attention is an approximation: the report says how near it comes, and training "
      "brings it "
      "nearer. Ctrl-C ends the training and saves what it has learnt; --resume goes on.\n\n"
      "EXAMPLE\n"
      "  lowrank convert bert-base-uncased bert\n"
      "  lowrank convert minilm minilm-linear --attention nystrom --landmarks 64 --conv 33 \\\n"
      "      --max-positions 16384 --distill novels/ --minutes 15\n"
      "  lowrank convert minilm minilm-auto --attention auto --min-cosine 0.98 --text notes/");
}

int run(const ConvertFlags& flags, const Console& console) {
  check_usage(flags);
  return Conversion(flags, console).run();
}

}  // namespace lowrank::cli
