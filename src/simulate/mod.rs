//! The same decision without a cluster: a workload in virtual time, under load of one's own.

mod chance;
mod course;
mod elasticity;
mod figures;
mod fleet;
mod foresight;
mod hpa;
mod learning;
mod load;
mod oracle;
mod plant;
mod play;
mod run;
mod scaler;
mod sensor;
mod service;
mod shapes;
mod signals;
mod traces;
mod tune;

pub use chance::Chance;
pub use course::{Course, Tick};
pub use elasticity::{Elasticity, Interval};
pub use figures::{Database, Days, Figures, Meter, StepFacts};
pub use fleet::{BudgetFigures, Member, simulate_fleet};
pub use load::{Load, LoadError};
pub use oracle::Oracle;
pub use plant::{Plant, PlantSettings};
pub use run::{Event, Run, START, Sample, Settings, cost_over_oracle, demand, simulate};
pub use scaler::{PolicyScaler, Scaler, shares};
pub use sensor::{Means, Sensor, SensorSettings};
pub use service::{Overload, Served, Service, ServiceSettings};
pub use shapes::{GRAMMAR, generate, parse_span};
pub use signals::{Quantity, Simulable, Source, map};
pub use traces::{TRACES, Trace};
pub use tune::{Candidate, trade_off};
