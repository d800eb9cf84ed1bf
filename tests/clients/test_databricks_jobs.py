"""Jobs and runs by databricks-sdk: who may bind, run and see them."""

import base64

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    OperationFailed,
    PermissionDenied,
)
from databricks.sdk.service.compute import ClusterSpec
from databricks.sdk.service.iam import (
    ComplexValue,
    GrantRule,
    RuleSetUpdateRequest,
)
from databricks.sdk.service.jobs import (
    JobAccessControlRequest,
    JobPermissionLevel,
    JobRunAs,
    JobSettings,
    NotebookTask,
    RunResultState,
    SubmitTask,
    Task,
    TaskDependency,
)
from databricks.sdk.service.workspace import ImportFormat, Language

from simulator import ACCOUNT, OPERATOR_CLIENT, WORKSPACE


# Which of the two an absent job or run is differs between versions of the service.
ABSENT = (NotFound, InvalidParameterValue)


def write(workspace, path, source, language=Language.SQL):
    content = base64.b64encode(source.encode()).decode()
    workspace.workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=language, overwrite=True
    )


def notebook(path="/Shared/one", key="main", **more):
    return Task(task_key=key, notebook_task=NotebookTask(notebook_path=path), **more)


@pytest.fixture(scope="module")
def runner(graph, workspace):
    """A service principal in the workspace that the operator may bind to jobs."""
    write(workspace, "/Shared/one", "SELECT 1")
    app = graph.register("runner")
    app.scim = workspace.service_principals.create(
        application_id=app.client_id,
        display_name="runner",
        entitlements=[ComplexValue(value="workspace-access")],
    )
    proxy = workspace.account_access_control_proxy
    name = f"accounts/{ACCOUNT}/servicePrincipals/{app.client_id}/ruleSets/default"
    rules = proxy.get_rule_set(name, etag="")
    user = GrantRule(
        role="roles/servicePrincipal.user", principals=[f"servicePrincipals/{OPERATOR_CLIENT}"]
    )
    proxy.update_rule_set(
        name,
        RuleSetUpdateRequest(name=name, etag=rules.etag, grant_rules=[*rules.grant_rules, user]),
    )
    return app


def run_as(client_id: str) -> JobRunAs:
    return JobRunAs(service_principal_name=client_id)


def failure(workspace, job_id: int) -> str:
    """Runs a job that fails, and gives what its task says."""
    waiting = workspace.jobs.run_now(job_id)
    try:
        run = waiting.result()
    except OperationFailed:
        run = workspace.jobs.get_run(waiting.run_id)
    assert run.state.result_state == RunResultState.FAILED
    return run.tasks[0].state.state_message


def test_a_job_and_its_run(workspace, runner):
    job = workspace.jobs.create(name="one", tasks=[notebook()], run_as=run_as(runner.client_id))
    read = workspace.jobs.get(job.job_id)
    assert read.settings.name == "one"
    assert read.run_as_user_name == runner.client_id
    assert read.settings.run_as.service_principal_name == runner.client_id
    run = workspace.jobs.run_now(job.job_id).result()
    assert run.state.result_state == RunResultState.SUCCESS
    assert run.run_page_url.startswith(WORKSPACE)
    output = workspace.jobs.get_run_output(run.tasks[0].run_id)
    assert "1" in output.notebook_output.result
    runs = [each.run_id for each in workspace.jobs.list_runs(job_id=job.job_id)]
    assert runs == [run.run_id]
    workspace.jobs.delete(job.job_id)
    with pytest.raises(ABSENT):
        workspace.jobs.get(job.job_id)


def test_a_change_of_settings(workspace):
    job = workspace.jobs.create(name="before", tasks=[notebook()])
    workspace.jobs.update(job.job_id, new_settings=JobSettings(name="after", max_concurrent_runs=3))
    settings = workspace.jobs.get(job.job_id).settings
    assert (settings.name, settings.max_concurrent_runs, len(settings.tasks)) == ("after", 3, 1)
    workspace.jobs.reset(job.job_id, new_settings=JobSettings(name="reset", tasks=[notebook()]))
    assert workspace.jobs.get(job.job_id).settings.max_concurrent_runs == 1
    assert [each.job_id for each in workspace.jobs.list(name="reset")] == [job.job_id]


def test_jobs_are_listed_in_pages(workspace):
    made = {workspace.jobs.create(name=f"page-{n}", tasks=[notebook()]).job_id for n in range(12)}
    assert made <= {each.job_id for each in workspace.jobs.list(limit=5)}


def test_a_token_makes_running_idempotent(workspace):
    job = workspace.jobs.create(name="once", tasks=[notebook()])
    first = workspace.jobs.run_now(job.job_id, idempotency_token="once")
    assert workspace.jobs.run_now(job.job_id, idempotency_token="once").run_id == first.run_id


def test_parameters_and_a_python_notebook(workspace):
    source = 'dbutils.notebook.exit(dbutils.widgets.get("word"))'
    write(workspace, "/Shared/word", source, Language.PYTHON)
    task = NotebookTask(notebook_path="/Shared/word", base_parameters={"word": "hello"})
    job = workspace.jobs.create(name="word", tasks=[Task(task_key="main", notebook_task=task)])
    run = workspace.jobs.run_now(job.job_id).result()
    assert workspace.jobs.get_run_output(run.tasks[0].run_id).notebook_output.result == "hello"


def test_tasks_that_depend_on_each_other(workspace, runner):
    after = notebook(key="after", depends_on=[TaskDependency(task_key="main")])
    job = workspace.jobs.create(name="two", tasks=[notebook(), after])
    run = workspace.jobs.run_now(job.job_id).result()
    assert {task.task_key for task in run.tasks} == {"main", "after"}
    with pytest.raises(BadRequest, match="multiple tasks"):
        workspace.jobs.get_run_output(run.run_id)


def test_a_run_without_a_job(workspace, runner):
    task = SubmitTask(task_key="main", notebook_task=NotebookTask(notebook_path="/Shared/one"))
    run = workspace.jobs.submit(run_name="single", tasks=[task]).result()
    assert run.state.result_state == RunResultState.SUCCESS


def test_a_notebook_that_fails(workspace):
    write(workspace, "/Shared/bad", "SELECT * FROM absent")
    job = workspace.jobs.create(name="bad", tasks=[notebook("/Shared/bad")])
    waiting = workspace.jobs.run_now(job.job_id)
    with pytest.raises(OperationFailed, match="INTERNAL_ERROR"):
        waiting.result()
    run = workspace.jobs.get_run(waiting.run_id)
    assert "Workload failed" in run.state.state_message
    assert "absent" in workspace.jobs.get_run_output(run.tasks[0].run_id).error


def test_a_notebook_that_is_tried_again(workspace):
    write(workspace, "/Shared/again", "SELECT * FROM absent")
    job = workspace.jobs.create(name="again", tasks=[notebook("/Shared/again", max_retries=2)])
    waiting = workspace.jobs.run_now(job.job_id)
    with pytest.raises(OperationFailed):
        waiting.result()
    assert workspace.jobs.get_run(waiting.run_id).tasks[0].attempt_number == 2


def test_a_cancelled_run(workspace):
    """One that is tried for ever ends only so."""
    write(workspace, "/Shared/endless", "SELECT * FROM absent")
    job = workspace.jobs.create(name="endless", tasks=[notebook("/Shared/endless", max_retries=-1)])
    waiting = workspace.jobs.run_now(job.job_id)
    assert workspace.jobs.get_run(waiting.run_id).status.state.value == "WAITING"
    run = workspace.jobs.cancel_run_and_wait(waiting.run_id)
    assert run.state.result_state == RunResultState.CANCELED


def test_settings_that_no_job_can_have(workspace):
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.create(name="idle", tasks=[Task(task_key="main")])
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.submit(run_name="nothing")


def test_a_principal_that_nobody_let_the_operator_bind(workspace, graph):
    app = graph.register("unbound")
    with pytest.raises(InvalidParameterValue, match="doesn't exist"):
        workspace.jobs.create(name="x", tasks=[notebook()], run_as=run_as(app.client_id))
    workspace.service_principals.create(application_id=app.client_id, display_name="unbound")
    with pytest.raises(PermissionDenied, match="Cannot bind the service principal"):
        workspace.jobs.create(name="x", tasks=[notebook()], run_as=run_as(app.client_id))


def test_what_a_run_refuses(workspace, runner):
    absent = workspace.jobs.create(
        name="absent", tasks=[notebook("/Shared/absent")], run_as=run_as(runner.client_id)
    )
    assert "Unable to access the notebook" in failure(workspace, absent.job_id)
    cluster = ClusterSpec(
        spark_version="15.4.x-scala2.12", node_type_id="Standard_DS3_v2", num_workers=0
    )
    unentitled = workspace.jobs.create(
        name="cluster", tasks=[notebook(new_cluster=cluster)], run_as=run_as(runner.client_id)
    )
    assert "not authorized to create clusters" in failure(workspace, unentitled.job_id)


def test_rights_on_a_job(workspace, runner):
    job = workspace.jobs.create(name="rights", tasks=[notebook()])
    other = runner.workspace().jobs
    with pytest.raises(PermissionDenied):
        other.get(job.job_id)
    with pytest.raises(PermissionDenied, match="does not have Manage Run"):
        other.run_now(job.job_id)
    may_run = JobAccessControlRequest(
        service_principal_name=runner.client_id,
        permission_level=JobPermissionLevel.CAN_MANAGE_RUN,
    )
    workspace.jobs.update_permissions(str(job.job_id), access_control_list=[may_run])
    assert other.run_now(job.job_id).result().state.result_state == RunResultState.SUCCESS
    with pytest.raises(PermissionDenied):
        other.update(job.job_id, new_settings=JobSettings(name="taken"))
    may_run.permission_level = JobPermissionLevel.CAN_MANAGE
    workspace.jobs.update_permissions(str(job.job_id), access_control_list=[may_run])
    other.update(job.job_id, new_settings=JobSettings(name="taken"))
    with pytest.raises(PermissionDenied, match="does not have Admin or Owner"):
        other.delete(job.job_id)


def test_what_is_absent(workspace):
    with pytest.raises(ABSENT):
        workspace.jobs.get(1)
    with pytest.raises(ABSENT):
        workspace.jobs.get_run(1)
    with pytest.raises(ABSENT):
        workspace.jobs.run_now(1)
