"""Which stages go to a cluster, with what set aside, and what a run there needs."""

import threading
from contextlib import suppress

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.config import ConfigError, load_config
from flows.machinery.checks import Severity, check_runner
from flows.machinery.doctor import require
from flows.machinery.runners import stages_on_ray
from tests.watch import watch


def test_everything_stays_on_this_machine_unless_it_is_told_otherwise(tmp_path):
    config = load_config(None, str(tmp_path))
    assert stages_on_ray(config) == {}
    assert check_runner(config).severity is Severity.OK


def test_stages_that_compute_go_to_ray_and_asking_the_site_stays_here():
    assert set(stages_on_ray(load_config(None, None, ("run.runner=ray",)))) == {"segment", "featurize"}


@pytest.mark.parametrize(
    ("overrides", "cpus", "gpus"),
    [
        ((), 1, 0),
        (("features.device=cuda",), 1, 1),
        (("features.device=cuda", "features.decode_processes=15"), 16, 1),
        (("features.decode_processes=3",), 4, 0),
        (("features.device=cuda", "run.featurize_gpus=0.5", "run.featurize_cpus=4"), 4, 0.5),
    ],
)
def test_a_batch_of_features_gets_the_gpu_that_its_device_asks_for(overrides, cpus, gpus):
    stages = stages_on_ray(load_config(None, None, ("run.runner=ray", *overrides)))
    assert stages["featurize"] == {"num_cpus": cpus, "num_gpus": gpus}
    assert stages["segment"] == {"num_cpus": 1, "num_gpus": 0}


def test_a_run_on_ray_without_a_real_prefect_server_is_refused_in_one_line(tmp_path):
    config = load_config(None, str(tmp_path), ("run.runner=ray", "features.weights_3d=untrained"))
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(ConfigError) as refused:
        require("featurize", config)
    assert str(refused.value).startswith('task runner: run.runner = "ray" needs a Prefect server')
    assert len(str(refused.value).splitlines()) == 1


def test_rays_makers_are_not_told_even_that_they_are_told_nothing():
    from ray._common.usage import usage_lib

    with watch(threading.get_ident()) as seen, suppress(ValueError):
        told = usage_lib.generate_disabled_report_data()
        usage_lib.UsageReportClient().report_usage_data(usage_lib._usage_stats_report_url(), told)
    assert (seen.names, seen.connections) == ([], [])
