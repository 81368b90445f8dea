//! rabbitmq: RabbitMQ with metric names of their own for queues, as before version 3.6.8 (see [`management`]).

use super::{CONF, management};
use crate::check::chart::Chart;
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_rabbitmq",
    purpose: "messages, rates and queues of RabbitMQ",
    check_type: "rabbitmq",
    conf: CONF,
    section: "RabbitMQ",
    keys: &[&["stats", "queue_details", "plain_tags"], http::KEYS],
    runs: Runs::Own,
    fields: &[
        TOTALS,
        management::OVERVIEW,
        management::NODE,
        management::NODE_STATE,
        management::NODE_PARTITIONS,
        QUEUE,
        PUBLISH,
        DELIVER,
    ],
    charts: CHARTS,
    build: |section| {
        let is_plain = section.flag("plain_tags", false)?;
        let totals = (TOTALS, Tags::default());
        management::broker(section, totals, &[QUEUE, PUBLISH, DELIVER], Vec::new(), move |queue, out| {
            queue.tell(QUEUE, queue.name, out);
            for (fields, word) in [(PUBLISH, "publish"), (DELIVER, "deliver")] {
                let odd = format!("rabbitmq_{}_{word}_details", queue.name);
                queue.tell(fields, if is_plain { queue.name } else { &odd }, out);
            }
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Messages").of(&["rabbitmq_messages", "rabbitmq_messages_ready", "rabbitmq_messages_unacknowledged"]),
    Chart::new("Message rates").of(&[
        "rabbitmq_publish_rate",
        "rabbitmq_deliver_get_rate",
        "rabbitmq_ack_rate",
        "rabbitmq_redeliver_rate",
        "rabbitmq_deliver_rate",
        "rabbitmq_confirm_rate",
    ]),
    management::UNROUTABLE,
    Chart::new("Queues: messages").of(&["rabbitmq_perqueue_messages"]).each("queue"),
    Chart::new("Queues: ready").of(&["rabbitmq_perqueue_messages_ready"]).each("queue"),
    Chart::new("Queues: not yet acknowledged").of(&["rabbitmq_perqueue_messages_unacknowledged"]).each("queue"),
    Chart::new("Queues: consumers").of(&["rabbitmq_perqueue_consumers"]).each("queue"),
    Chart::new("Queues: consumers that could take more")
        .of(&["rabbitmq_perqueue_consumer_utilisation"])
        .each("queue")
        .full(1.0),
    Chart::new("Queues: memory").of(&["rabbitmq_perqueue_memory"]).each("queue"),
    Chart::new("Queues: published").of(&["rabbitmq_perqueue_publish"]).each("queue"),
    Chart::new("Queues: delivered or got").of(&["rabbitmq_perqueue_deliver_get"]).each("queue"),
    Chart::new("Queues: delivered").of(&["rabbitmq_perqueue_deliver"]).each("queue"),
    Chart::new("Queues: acknowledged").of(&["rabbitmq_perqueue_ack"]).each("queue"),
    Chart::new("Queues: delivered again").of(&["rabbitmq_perqueue_redeliver"]).each("queue"),
    Chart::new("Objects").of(&[
        "rabbitmq_connections",
        "rabbitmq_channels",
        "rabbitmq_consumers",
        "rabbitmq_queues",
        "rabbitmq_exchanges",
    ]),
    management::CHURN,
    management::EMPTY_GETS,
    management::MEMORY,
    management::DISK,
    management::FILES,
    management::ALARMS,
    management::PARTITIONS,
];

const TOTALS: &[Field] = &[
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate", "1/s"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate", "1/s"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate", "1/s"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate", "1/s"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate", "1/s"),
    gauge("/queue_totals/messages", "rabbitmq_messages", "messages").int(),
    gauge("/queue_totals/messages_ready", "rabbitmq_messages_ready", "messages").int(),
    gauge("/queue_totals/messages_unacknowledged", "rabbitmq_messages_unacknowledged", "messages").int(),
];

const QUEUE: &[Field] = &[
    gauge("/messages", "rabbitmq_perqueue_messages", "messages"),
    gauge("/messages_ready", "rabbitmq_perqueue_messages_ready", "messages").int(),
    gauge("/messages_unacknowledged", "rabbitmq_perqueue_messages_unacknowledged", "messages").int(),
    gauge("/consumers", "rabbitmq_perqueue_consumers", "consumers").int(),
    gauge("/consumer_utilisation", "rabbitmq_perqueue_consumer_utilisation", "ratio"),
    gauge("/memory", "rabbitmq_perqueue_memory", "bytes").int(),
    gauge("/message_stats/ack_details/rate", "rabbitmq_perqueue_ack", "1/s"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_perqueue_redeliver", "1/s"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_perqueue_deliver_get", "1/s"),
];

// Their tag `queue` is rabbitmq_NAME_publish_details, as in the original, unless `plain_tags` is on.
const PUBLISH: &[Field] = &[gauge("/message_stats/publish_details/rate", "rabbitmq_perqueue_publish", "1/s")];
const DELIVER: &[Field] = &[gauge("/message_stats/deliver_details/rate", "rabbitmq_perqueue_deliver", "1/s")];
