// A model whose kind is chosen when the program runs: one type for the trainer, whatever is behind it.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <utility>

#include <dream/models/model.hpp>

namespace dream {

/// Holds a model of T on backend B; move-only.
template <class T, class B>
class AnyModel {
 public:
  using value_type = T;
  using backend = B;

  template <class Model>
  explicit AnyModel(std::unique_ptr<Model> model) : model_(std::make_unique<Of<Model>>(std::move(model))) {}

  Parameters<T, B>& parameters() { return model_->parameters(); }
  std::span<LargeParameter<T, B>> large_parameters() { return model_->large_parameters(); }
  void bind_large_gradients(const Tape<T, B>& tape) { model_->bind_large_gradients(tape); }
  Losses losses(Tape<T, B>& tape, const Batch& batch) { return model_->losses(tape, batch); }
  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    return model_->represent(tape, users, items);
  }
  /// Does nothing where the model has nothing to do.
  void begin_epoch(Context<B>& context, Context<Cpu>& host, CsrView<T> interactions, std::uint32_t epoch) {
    model_->begin_epoch(context, host, interactions, epoch);
  }
  /// Behaviour and modal rows; all are invalid where the model has no two domains.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                    VectorView<const index_t> items) {
    return model_->domains(tape, users, items);
  }
  /// No rows where the model has no modal representation that is a sum over the modalities.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    return model_->modal_parts(tape, items);
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual Parameters<T, B>& parameters() = 0;
    virtual std::span<LargeParameter<T, B>> large_parameters() = 0;
    virtual void bind_large_gradients(const Tape<T, B>&) = 0;
    virtual Losses losses(Tape<T, B>&, const Batch&) = 0;
    virtual std::array<Var, 2> represent(Tape<T, B>&, VectorView<const index_t>, VectorView<const index_t>) = 0;
    virtual void begin_epoch(Context<B>&, Context<Cpu>&, CsrView<T>, std::uint32_t) = 0;
    virtual std::array<DomainRows, 2> domains(Tape<T, B>&, VectorView<const index_t>, VectorView<const index_t>) = 0;
    virtual ModalParts<T> modal_parts(Tape<T, B>&, VectorView<const index_t>) = 0;
  };

  template <class Model>
  struct Of final : Interface {
    explicit Of(std::unique_ptr<Model> m) : model(std::move(m)) {}

    Parameters<T, B>& parameters() override { return model->parameters(); }
    std::span<LargeParameter<T, B>> large_parameters() override { return model->large_parameters(); }
    void bind_large_gradients(const Tape<T, B>& tape) override { model->bind_large_gradients(tape); }
    Losses losses(Tape<T, B>& tape, const Batch& batch) override { return model->losses(tape, batch); }
    std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users,
                                 VectorView<const index_t> items) override {
      return model->represent(tape, users, items);
    }
    void begin_epoch(Context<B>& context, Context<Cpu>& host, CsrView<T> interactions, std::uint32_t epoch) override {
      if constexpr (requires { model->begin_epoch(context, host, interactions, epoch); })
        model->begin_epoch(context, host, interactions, epoch);
    }
    std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                      VectorView<const index_t> items) override {
      if constexpr (requires { model->domains(tape, users, items); }) return model->domains(tape, users, items);
      return {};
    }
    ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) override {
      if constexpr (requires { model->modal_parts(tape, items); }) return model->modal_parts(tape, items);
      return {};
    }

    std::unique_ptr<Model> model;
  };

  std::unique_ptr<Interface> model_;
};

}  // namespace dream
