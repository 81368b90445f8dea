//! InfluxDB 1.x: line protocol to `/write`.
