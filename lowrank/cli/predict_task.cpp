// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/predict_task.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/serve/answer.h"
#include "lowrank/serve/classify.h"
#include "lowrank/serve/compare.h"
#include "lowrank/serve/token_labels.h"

namespace lowrank::cli {
namespace {

// Tokens that windows of a long text share, where what stands around a token matters.
constexpr int64_t kLabelStride = 64, kAnswerStride = 128;

class OfOneModel : public PredictTask {
 public:
  OfOneModel(const serve::TextModel& model, const PredictOptions& options)
      : model_(model), options_(options) {}

 protected:
  const serve::TextModel model_;
  const PredictOptions options_;
};

Json span_json(const text::Span& bytes, const text::Span& characters) {
  return {{"begin", characters.begin},
          {"end", characters.end},
          {"begin_byte", bytes.begin},
          {"end_byte", bytes.end}};
}

std::string range(const text::Span& span) { return fmt::format("{}-{}", span.begin, span.end); }

// A class for a text or, of a retrieval model, for two.
class Classification final : public OfOneModel {
 public:
  using OfOneModel::OfOneModel;

  serve::Reading read(const serve::TextInput& input) const override {
    return compares() ? serve::read_two(model_, input, options_.pieces)
                      : serve::read(model_, input, options_.pieces);
  }

  std::vector<Prediction> predict(const std::vector<serve::Reading>& readings) const override {
    const auto classify = compares() ? serve::compare : serve::classify;
    std::vector<Prediction> predictions;
    for (const auto& values : classify(model_, readings, options_.run)) {
      predictions.push_back(of_classes(model_.model->config().classes, values, options_.top));
    }
    return predictions;
  }

 private:
  bool compares() const { return model_.model->config().task == models::Task::kRetrieval; }
};

class TokenLabels final : public OfOneModel {
 public:
  TokenLabels(const serve::TextModel& model, const PredictOptions& options)
      : OfOneModel(model, options), aggregate_(serve::aggregate_of(options.aggregate)) {}

  serve::Reading read(const serve::TextInput& input) const override {
    serve::PieceOptions pieces = options_.pieces;
    const int64_t most = pieces.max_length > 0 ? pieces.max_length : model_.max_length;
    pieces.stride = std::min(kLabelStride, most / 4);
    return serve::read(model_, input, pieces);
  }

  std::vector<Prediction> predict(const std::vector<serve::Reading>& readings) const override {
    std::vector<Prediction> predictions;
    for (const auto& spans : serve::label_tokens(model_, readings, aggregate_, options_.run)) {
      Prediction prediction{.json = {{"spans", Json::array()}}, .rows = {}};
      for (const serve::LabeledSpan& span : spans) {
        Json json = span_json(span.bytes, span.characters);
        json.update(
            {{"text", span.text}, {"label", span.label}, {"probability", span.probability}});
        prediction.json["spans"].push_back(std::move(json));
        prediction.rows.push_back({range(span.characters), escaped(span.label),
                                   percent(span.probability), escaped(span.text)});
      }
      predictions.push_back(std::move(prediction));
    }
    return predictions;
  }

 private:
  serve::Aggregate aggregate_;
};

class Answers final : public OfOneModel {
 public:
  using OfOneModel::OfOneModel;
  std::string text_key() const override {
    return options_.question.empty() ? "question" : "context";
  }
  std::string pair_key() const override { return options_.question.empty() ? "context" : ""; }

  serve::Reading read(const serve::TextInput& input) const override {
    serve::PieceOptions pieces = options_.pieces;
    pieces.stride = kAnswerStride;
    if (!options_.question.empty()) {
      return serve::read_question(model_, options_.question, input, pieces);
    }
    if (!input.pair) {
      throw Error(fmt::format("{}: there is a question and no context. Give \"context\" too.",
                              input.source));
    }
    return serve::read_question(model_, input.text, {.text = *input.pair, .source = input.source},
                                pieces);
  }

  std::vector<Prediction> predict(const std::vector<serve::Reading>& readings) const override {
    const serve::AnswerOptions options{.top = options_.top,
                                       .longest = options_.longest,
                                       .no_answer_threshold = options_.no_answer_threshold,
                                       .run = options_.run};
    std::vector<Prediction> predictions;
    for (const auto& answers : serve::answer(model_, readings, options)) {
      Prediction prediction{.json = {{"answers", Json::array()}}, .rows = {}};
      for (const serve::Answer& answer : answers) {
        if (answer.is_none) {
          prediction.json["answers"].push_back(
              {{"no_answer", true}, {"text", ""}, {"score", answer.score}});
          prediction.rows.push_back({"no answer", percent(answer.score), ""});
          continue;
        }
        Json json = span_json(answer.bytes, answer.characters);
        json.update({{"text", answer.text}, {"score", answer.score}});
        prediction.json["answers"].push_back(std::move(json));
        prediction.rows.push_back(
            {range(answer.characters), percent(answer.score), escaped(answer.text)});
      }
      predictions.push_back(std::move(prediction));
    }
    return predictions;
  }
};

class Choices final : public OfOneModel {
 public:
  Choices(const serve::TextModel& model, const PredictOptions& options)
      : OfOneModel(model, options) {
    if (options.pieces.on_overflow != serve::Overflow::kChunk) return;
    throw Misuse(
        "--on-overflow = chunk; choices compete as whole sequences. Use error, truncate or "
        "interpolate.");
  }

  // The text is the JSON object itself: its "choices" are a list, which no other task reads.
  serve::Reading read(const serve::TextInput& input) const override {
    const Json object = parse_json(input.text, input.source);
    if (!object.is_object() || !object.contains("text") || !object.contains("choices") ||
        !object["text"].is_string() || !object["choices"].is_array()) {
      throw Error(
          fmt::format("{}: a multiple choice is a JSON object of \"text\", a string, and "
                      "\"choices\", a list. Write it so.",
                      input.source));
    }
    std::vector<std::string> choices;
    for (const Json& choice : object["choices"]) {
      if (!choice.is_string()) {
        throw Error(fmt::format("{}: choices[{}] is a {}; a choice is a string. Quote it.",
                                input.source, choices.size(), choice.type_name()));
      }
      choices.push_back(choice);
    }
    serve::Reading reading = serve::read_choices(
        model_, {.text = object["text"], .source = input.source}, choices, options_.pieces);
    reading.input = input;
    return reading;
  }

  std::vector<Prediction> predict(const std::vector<serve::Reading>& readings) const override {
    const auto all = serve::choose(model_, readings, options_.run);
    std::vector<Prediction> predictions;
    for (size_t i = 0; i < readings.size(); ++i) {
      const Json choices = parse_json(readings[i].input.text, readings[i].input.source)["choices"];
      predictions.push_back(ranked(choices, all[i]));
    }
    return predictions;
  }

 private:
  Prediction ranked(const Json& choices, const std::vector<double>& probabilities) const {
    Prediction prediction{.json = {{"choices", Json::array()}}, .rows = {}};
    for (const size_t i : serve::best_of(probabilities, options_.top)) {
      const std::string choice = choices[i];
      prediction.json["choices"].push_back(
          {{"choice", i}, {"text", choice}, {"probability", probabilities[i]}});
      prediction.rows.push_back(
          {fmt::format("choice {}", i), percent(probabilities[i]), escaped(choice)});
    }
    return prediction;
  }
};

}  // namespace

std::unique_ptr<PredictTask> make_predict_task(const serve::TextModel& model,
                                               const PredictOptions& options) {
  const models::Task task = model.model->config().task;
  switch (task) {
    case models::Task::kClassification:
    case models::Task::kRetrieval:
      return std::make_unique<Classification>(model, options);
    case models::Task::kTokenClassification:
      return std::make_unique<TokenLabels>(model, options);
    case models::Task::kQuestionAnswering:
      return std::make_unique<Answers>(model, options);
    case models::Task::kMultipleChoice:
      return std::make_unique<Choices>(model, options);
    case models::Task::kMaskedLanguageModel:
    case models::Task::kEncoder:
      break;
  }
  throw Error(fmt::format("{} is {} {}, which has no classes. Use \"lowrank {}\" with it.",
                          model.folder.string(), task == models::Task::kEncoder ? "an" : "a",
                          models::in_words(task), serve::command_for(task)));
}

}  // namespace lowrank::cli
