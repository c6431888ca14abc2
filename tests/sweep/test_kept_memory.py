"""What a launcher returns of a job is not kept until the last one."""

import weakref

from hydra._internal.core_plugins.basic_launcher import BasicLauncher

from hydra_plugins.ablate_sweeper import launch_all


class Return:
    """In place of Hydra's JobReturn, which holds two configurations."""


def test_the_basic_launcher_keeps_one_job_at_a_time():
    alive: weakref.WeakSet[Return] = weakref.WeakSet()
    launched = []

    class InProcess(BasicLauncher):
        def launch(self, job_overrides, initial_job_idx):
            found = []
            for number, job in enumerate(job_overrides):
                launched.append((initial_job_idx + number, job, len(alive)))
                found.append(Return())
                alive.add(found[-1])
            return found

    jobs = [[f"seed={seed}"] for seed in range(4)]
    launch_all(InProcess(), jobs)
    assert launched == [(number, job, 0) for number, job in enumerate(jobs)]


def test_another_launcher_gets_all_jobs_at_once():
    class Cluster:
        def launch(self, job_overrides, initial_job_idx):
            self.given = (job_overrides, initial_job_idx)

    cluster = Cluster()
    launch_all(cluster, [["seed=0"], ["seed=1"]])
    assert cluster.given == ([["seed=0"], ["seed=1"]], 0)
