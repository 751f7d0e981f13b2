"""The control plane over the table that a known traffic left behind."""

from tests.support.control import looked_out
from tests.support.traffic import CATALOGUE, Traffic

from pllm.admin.services import AdminServices, Running
from pllm.control_plane import kept, limits
from pllm.core.config.schema import Config
from pllm.core.principal import MASTER, Principal
from pllm.core.secret import Secret
from pllm.state.fleet_reader import FleetReader
from pllm.state.usage_reader import UsageReader


def services_of(traffic: Traffic) -> AdminServices:
    """Everybody who comes is the master; time stands still at the end of the traffic."""

    async def master(scope: object) -> Principal:
        return MASTER

    config = Config(model_list=())
    return AdminServices(
        authenticate=master,
        running=Running(config, CATALOGUE, "etag", "test"),
        clock=traffic.clock,
        new_id=lambda: "r",
        emit=lambda line: None,
        outlook=looked_out,
        kept=kept(traffic.store, traffic.clock, lambda line: None),
        scrape_token=Secret("scrape"),
        fleet=FleetReader(traffic.store, traffic.clock),
        usage=UsageReader(traffic.store, traffic.clock),
        limits=limits(traffic.store, traffic.clock, config, 0),
    )
