//! rabbitmq_368: RabbitMQ from 3.6 on. Queues have the metric names of the totals, and the tag `queue` tells them apart
//! (see [`management`]).

use super::{CONF, management};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_rabbitmq_368",
    purpose: "messages, rates and chosen queues of RabbitMQ",
    check_type: "rabbitmq",
    conf: CONF,
    section: "RabbitMQ 3.6",
    keys: &[&["stats", "queue_details", "desired_queues"], http::KEYS],
    runs: Runs::Own,
    fields: &[
        TOTALS,
        management::OVERVIEW,
        management::NODE,
        management::NODE_STATE,
        management::NODE_PARTITIONS,
        QUEUE,
    ],
    charts: CHARTS,
    build: |section| {
        let names = section.list("desired_queues").into_iter().map(String::from).collect();
        let totals = (TOTALS, Tags::one("queue", ALL));
        management::broker(section, totals, &[QUEUE], names, |queue, out| match queue.name {
            ALL if queue.is_usual() => {
                out.absence_of(ALL, "a queue of this name is not told, as its tag is that of the totals")
            }
            name => queue.tell(QUEUE, name, out),
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Messages").of(&["rabbitmq_messages"]).each("queue"),
    Chart::new("Ready").of(&["rabbitmq_messages_ready"]).each("queue"),
    Chart::new("Not yet acknowledged").of(&["rabbitmq_messages_unacknowledged"]).each("queue"),
    Chart::new("Published").of(&["rabbitmq_publish_rate"]).each("queue"),
    Chart::new("Delivered or got").of(&["rabbitmq_deliver_get_rate"]).each("queue"),
    Chart::new("Acknowledged").of(&["rabbitmq_ack_rate"]).each("queue"),
    Chart::new("Delivered again").of(&["rabbitmq_redeliver_rate"]).each("queue"),
    Chart::new("Delivered").of(&["rabbitmq_deliver_rate"]).each("queue"),
    Chart::new("Consumers").of(&["rabbitmq_consumers"]).each("queue"),
    Chart::new("Consumers that could take more").of(&["rabbitmq_consumer_utilisation"]).each("queue").full(1.0),
    Chart::new("Memory").of(&["rabbitmq_memory"]).each("queue"),
    Chart::new("Persistent messages").of(&["rabbitmq_messages_persistent"]).each("queue"),
    Chart::new("Messages in memory").of(&["rabbitmq_messages_ram"]).each("queue"),
    Chart::new("Bytes of persistent messages").of(&["rabbitmq_message_bytes_persistent"]).each("queue"),
    Chart::new("Bytes of messages in memory").of(&["rabbitmq_message_bytes_ram"]).each("queue"),
    Chart::new("Growth of messages").of(&[
        "rabbitmq_messages_details",
        "rabbitmq_messages_ready_details",
        "rabbitmq_messages_unacknowledged_details",
    ]),
    management::UNROUTABLE,
    Chart::new("Confirmed to publishers").of(&["rabbitmq_confirm_rate"]),
    Chart::new("Objects").of(&["rabbitmq_connections", "rabbitmq_channels", "rabbitmq_queues", "rabbitmq_exchanges"]),
    management::CHURN,
    management::EMPTY_GETS,
    management::MEMORY,
    management::DISK,
    management::FILES,
    management::ALARMS,
    management::PARTITIONS,
];

/// Value of the tag `queue` for the totals.
const ALL: &str = "all";

const TOTALS: &[Field] = &[
    gauge("/queue_totals/messages", "rabbitmq_messages", "messages").int(),
    gauge("/queue_totals/messages_ready", "rabbitmq_messages_ready", "messages").int(),
    gauge("/queue_totals/messages_unacknowledged", "rabbitmq_messages_unacknowledged", "messages").int(),
    gauge("/queue_totals/messages_details/rate", "rabbitmq_messages_details", "1/s"),
    gauge("/queue_totals/messages_ready_details/rate", "rabbitmq_messages_ready_details", "1/s"),
    gauge("/queue_totals/messages_unacknowledged_details/rate", "rabbitmq_messages_unacknowledged_details", "1/s"),
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate", "1/s"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate", "1/s"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate", "1/s"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate", "1/s"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate", "1/s"),
];

const QUEUE: &[Field] = &[
    gauge("/messages", "rabbitmq_messages", "messages").int(),
    gauge("/messages_unacknowledged", "rabbitmq_messages_unacknowledged", "messages").int(),
    gauge("/messages_ready", "rabbitmq_messages_ready", "messages").int(),
    gauge("/message_bytes_persistent", "rabbitmq_message_bytes_persistent", "bytes").int(),
    gauge("/message_bytes_ram", "rabbitmq_message_bytes_ram", "bytes").int(),
    gauge("/messages_persistent", "rabbitmq_messages_persistent", "messages").int(),
    gauge("/messages_ram", "rabbitmq_messages_ram", "messages").int(),
    gauge("/consumers", "rabbitmq_consumers", "consumers").int(),
    gauge("/consumer_utilisation", "rabbitmq_consumer_utilisation", "ratio"),
    gauge("/memory", "rabbitmq_memory", "bytes").int(),
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate", "1/s"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate", "1/s"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate", "1/s"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate", "1/s"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate", "1/s"),
];
