"""The bridges under the real trainers: steps, windows, logs, errors."""

from __future__ import annotations

import gc
import time

import pytest
from tests.unit.integrations.conftest import ACCELERATOR_W, CPU_W, MEMORY_W, lines_of, status_of

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the libraries, about themselves
]
QUICK = {"interval_s": 0.05, "site": {"grid": "FR", "pue": 1.2}}
COLUMNS = {"facility_kwh", "operational_location_kgco2e"}


def progress_of(meter) -> dict:
    return [line for line in lines_of(meter.folder) if line.get("kind") == "progress"][-1]


def wait_for(condition, patience_s: float = 60.0) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Line(torch.nn.Module):
    """y = w x, with its loss."""

    def __init__(self, fails_at: int | None = None):
        super().__init__()
        self.w = torch.nn.Linear(1, 1)
        self.calls, self.fails_at = 0, fails_at

    def forward(self, x, labels=None):
        self.calls += 1
        if self.calls == self.fails_at:
            raise FloatingPointError("loss is not finite")
        y = self.w(x)
        return {"loss": ((y - labels) ** 2).mean(), "logits": y}


def huggingface_trainer(folder, callback, *, fails_at=None, **more):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    data = [{"x": torch.tensor([float(i)]), "labels": torch.tensor([2.0 * i])} for i in range(8)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=3,
        logging_steps=2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **more,
    )
    return Trainer(model=Line(fails_at), args=arguments, train_dataset=data, eval_dataset=data, callbacks=[callback])


def test_huggingface_trains_measured(tmp_path):
    from transformers import TrainerCallback

    from tonne.integrations.transformers import MeterCallback

    callback = MeterCallback("hf", **QUICK)
    assert isinstance(callback, TrainerCallback)
    trainer = huggingface_trainer(tmp_path, callback, eval_strategy="epoch")
    trainer.train()
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (6, 6)  # 8 examples in batches of 4, 3 epochs
    windows = callback.meter.windows()
    assert (windows["epoch"][0], windows["evaluate"][0]) == (3, 3)
    assert status_of(callback.meter.folder) == "finished"
    assert set(trainer.state.log_history[-1]) >= COLUMNS
    whole_kwh = callback.account().energy.facility_kwh.value
    assert 0 < trainer.state.log_history[-1]["facility_kwh"] <= whole_kwh * 1.0001


def test_huggingface_logs_nothing_on_other_ranks(tmp_path):
    from tonne.integrations.transformers import MeterCallback

    callback = MeterCallback("hf-rank", **QUICK)
    trainer = huggingface_trainer(tmp_path, callback)
    trainer.state.is_world_process_zero = False
    callback.on_train_begin(trainer.args, trainer.state, trainer.control)
    logs = {"loss": 1.0, "train_runtime": 1.0}
    callback.on_log(trainer.args, trainer.state, trainer.control, logs=logs)
    callback.on_train_end(trainer.args, trainer.state, trainer.control)
    assert logs == {"loss": 1.0, "train_runtime": 1.0}


def test_huggingface_that_raises_is_closed_as_failed_by_itself(tmp_path):
    from tonne.integrations.transformers import MeterCallback

    callback = MeterCallback("hf-fails", **QUICK)
    trainer = huggingface_trainer(tmp_path, callback, fails_at=4)
    with pytest.raises(FloatingPointError):
        trainer.train()
    assert wait_for(lambda: status_of(callback.meter.folder) == "failed")


def test_huggingface_in_a_with_block_is_closed_at_once_and_can_train_again(tmp_path):
    from tonne.integrations.transformers import MeterCallback

    with pytest.raises(FloatingPointError), MeterCallback("hf-with", interval_s=60.0) as callback:
        huggingface_trainer(tmp_path, callback, fails_at=4).train()
    assert status_of(callback.meter.folder) == "failed"
    first = callback.meter.folder
    huggingface_trainer(tmp_path, callback).train()
    assert (callback.meter.folder != first, status_of(callback.meter.folder)) == (True, "finished")


def lightning_module(fails_at=None):
    from lightning import pytorch

    class Module(pytorch.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = Line(fails_at)

        def training_step(self, batch, _):
            return self.line(*batch)["loss"]

        def validation_step(self, batch, _):
            self.log("val_loss", self.line(*batch)["loss"])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    return Module()


def lightning_fit(folder, callback, *, fails_at=None):
    from lightning import pytorch
    from lightning.pytorch.loggers import CSVLogger

    x = torch.arange(8.0).unsqueeze(1)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 2 * x), batch_size=4)
    trainer = pytorch.Trainer(
        max_epochs=3,
        callbacks=[callback],
        logger=CSVLogger(folder),
        log_every_n_steps=2,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        devices=1,
    )
    trainer.fit(lightning_module(fails_at), loader, loader)
    return trainer


def test_lightning_fits_measured(tmp_path):
    from lightning.pytorch import Callback

    from tonne.integrations.lightning import MeterCallback

    callback = MeterCallback("lightning", **QUICK)
    assert isinstance(callback, Callback)
    trainer = lightning_fit(tmp_path, callback)
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (6, 6)
    windows = callback.meter.windows()
    assert (windows["epoch"][0], windows["validate"][0]) == (3, 3)
    assert status_of(callback.meter.folder) == "finished"
    header = next(iter(tmp_path.rglob("metrics.csv"))).read_text().splitlines()[0]
    assert set(header.split(",")) >= COLUMNS
    assert trainer.global_step == 6


def test_lightning_that_raises_is_closed_with_the_error(tmp_path):
    from tonne.integrations.lightning import MeterCallback

    callback = MeterCallback("lightning-fails", **QUICK)
    with pytest.raises(FloatingPointError):
        lightning_fit(tmp_path, callback, fails_at=3)
    leave = [line for line in lines_of(callback.meter.folder) if line.get("kind") == "leave"]
    assert [(line["status"], line["error"]) for line in leave] == [("failed", "FloatingPointError")]


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def keras_model(keras):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_keras_fits_measured(keras):
    from tonne.integrations.keras import MeterCallback

    callback = MeterCallback("keras", **QUICK)
    assert isinstance(callback, keras.callbacks.Callback)
    x = torch.arange(8.0).unsqueeze(1).numpy() / 8
    history = keras_model(keras).fit(
        x, x, batch_size=4, epochs=3, verbose=0, validation_data=(x, x), callbacks=[callback]
    )
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (6, 6)
    windows = callback.meter.windows()
    assert (windows["epoch"][0], windows["test"][0]) == (3, 3)
    assert status_of(callback.meter.folder) == "finished"
    assert set(history.history) >= COLUMNS
    assert len(history.history["facility_kwh"]) == 3


def test_keras_that_raises_is_closed_as_failed_by_itself(keras):
    from tonne.integrations.keras import MeterCallback

    class Fails(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise FloatingPointError

    callback = MeterCallback("keras-fails", **QUICK)
    x = torch.arange(8.0).unsqueeze(1).numpy()
    with pytest.raises(FloatingPointError):
        keras_model(keras).fit(x, x, verbose=0, callbacks=[callback, Fails()])
    gc.collect()
    assert wait_for(lambda: status_of(callback.meter.folder) == "failed")


def test_keras_that_fails_and_trains_again_at_once_is_two_runs(keras):
    from tonne.integrations.keras import MeterCallback

    class FailsOnce(keras.callbacks.Callback):
        has_failed = False

        def on_train_batch_end(self, batch, logs=None):
            if not self.has_failed:
                self.has_failed = True
                raise FloatingPointError
            time.sleep(0.1)  # longer in all than the time between two looks for the failed one

    callback, fails_once = MeterCallback("keras-again", interval_s=0.3), FailsOnce()
    x = torch.arange(8.0).unsqueeze(1).numpy() / 8
    model = keras_model(keras)
    try:
        model.fit(x, x, batch_size=4, verbose=0, callbacks=[callback, fails_once])
    except FloatingPointError as error:
        kept = error  # and with it the frames, so that the second training has frames of its own
    failed = callback.meter.folder
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[callback, fails_once])
    assert isinstance(kept, FloatingPointError)
    assert (status_of(failed), status_of(callback.meter.folder)) == ("failed", "finished")
    assert progress_of(callback.meter)["step"] == 8


def test_keras_that_goes_on_from_an_epoch_expects_the_rest(keras):
    from tonne.integrations.keras import MeterCallback

    callback = MeterCallback("keras-goes-on", **QUICK)
    x = torch.arange(8.0).unsqueeze(1).numpy() / 8
    history = keras_model(keras).fit(x, x, batch_size=4, initial_epoch=3, epochs=5, verbose=0, callbacks=[callback])
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (4, 4)  # 2 epochs of 2 batches
    assert len(history.history["facility_kwh"]) == 2


def test_keras_steps_that_run_as_one_are_all_counted(keras):
    from tonne.integrations.keras import MeterCallback

    callback = MeterCallback("keras-joined", **QUICK)
    callback.set_params({"steps": 8, "epochs": 2})
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for last_of_four in (3, 7):  # as with steps_per_execution=4, which the backend torch has not
            callback.on_train_batch_end(last_of_four)
        callback.on_epoch_end(epoch, {})
    callback.on_train_end()
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (16, 16)


def test_lightning_with_two_optimizers_counts_batches(tmp_path):
    from lightning import pytorch

    from tonne.integrations.lightning import MeterCallback

    class Two(pytorch.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = Line()
            self.automatic_optimization = False

        def training_step(self, batch, _):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.line(*batch)["loss"])
                optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters(), lr=1e-3) for _ in range(2)]

    callback = MeterCallback("lightning-two", **QUICK)
    x = torch.arange(8.0).unsqueeze(1)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, 2 * x), batch_size=4)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pytorch.Trainer(max_epochs=3, callbacks=[callback], accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(Two(), loader)
    assert trainer.global_step == 12  # two optimizers, each 6 times
    progress = progress_of(callback.meter)
    assert (progress["step"], progress["total"]) == (6, 6)


def test_huggingfaces_own_callback_for_codecarbon_takes_the_drop_in(tmp_path, monkeypatch):
    import csv
    import importlib.machinery
    import sys

    from transformers.integrations import CodeCarbonCallback

    from tonne.integrations import codecarbon

    monkeypatch.setitem(sys.modules, "codecarbon", codecarbon)
    monkeypatch.setattr(codecarbon, "__spec__", importlib.machinery.ModuleSpec("codecarbon", None))
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "FRA")
    monkeypatch.setenv("CODECARBON_PROJECT_NAME", "hf-codecarbon")
    trainer = huggingface_trainer(tmp_path, CodeCarbonCallback())
    trainer.train()
    with (tmp_path / "emissions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["project_name"] for row in rows] == ["hf-codecarbon"]
    watts = float(rows[0]["energy_consumed"]) * 3.6e6 / float(rows[0]["duration"])
    assert watts == pytest.approx(CPU_W + MEMORY_W + ACCELERATOR_W, rel=0.02)
