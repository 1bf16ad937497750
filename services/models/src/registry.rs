//! Which models there are and who serves them.
//!
//! Built-in and configured models are fixed while the process runs; registered ones belong to an
//! organisation and are read from the store each time, so that several processes on one database agree. A name that is none of them may
//! still be `<provider>/<model there>`.

use std::{collections::BTreeMap, sync::Arc};

use lightning_mesh::{clock::Timestamp, identity::DEFAULT_ORGANIZATION};
use lightning_store::Once;

use crate::{
    config::{Config, ModelConfig, ProviderConfig, ProviderKind},
    domain::{Capability, Model, ModelId, Prices, Source},
    error::Error,
    provider::{
        Provider,
        openai::OpenAi,
        scripted::{CONTEXT_WINDOW, Scripted},
    },
    store::{Inserted, Store},
};

/// The provider that needs no configuration.
const BUILT_IN: &str = "scripted";

/// The most models that a list reads of the store beyond a page.
const MAX_LISTED: usize = 10_000;

/// All models and providers.
pub(crate) struct Registry {
    providers: BTreeMap<String, Arc<dyn Provider>>,
    fixed: BTreeMap<String, Model>,
    default_model: String,
    store: Store,
}

/// A model and who serves it.
pub(crate) struct Served {
    pub(crate) model: Model,
    pub(crate) provider: Arc<dyn Provider>,
}

// === impl Registry ===

impl Registry {
    /// Makes the providers and models of the configuration; fails with the first thing that is wrong.
    pub(crate) async fn open(config: &Config, store: Store) -> Result<Self, Error> {
        let mut registry = Self {
            providers: BTreeMap::new(),
            fixed: BTreeMap::new(),
            default_model: config.default_model.clone(),
            store,
        };
        for provider in &config.provider {
            registry.add_provider(provider)?;
        }
        if !registry.providers.contains_key(BUILT_IN) {
            registry.providers.insert(BUILT_IN.to_owned(), Arc::new(Scripted::built_in()?));
        }
        registry.add(built_in("scripted-1", "Scripted (offline)", Capability::Chat)?)?;
        registry.add(built_in(
            "scripted-embed-1",
            "Scripted embeddings (offline)",
            Capability::Embeddings,
        )?)?;
        match registry.get(DEFAULT_ORGANIZATION, "").await {
            Ok(_) => Ok(registry),
            Err(Error::ModelNotFound { model }) => Err(Error::Config(format!(
                "default_model {model:?} is neither configured nor registered"
            ))),
            Err(error) => Err(error),
        }
    }

    fn add_provider(&mut self, config: &ProviderConfig) -> Result<(), Error> {
        let name = &config.name;
        let refuse = |problem: &str| Err(Error::Config(format!("provider {name:?}: {problem}")));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=40).contains(&name.len()) || !name.bytes().all(allowed) {
            return refuse("name must have 1 to 40 characters of A-Z a-z 0-9 _ -");
        }
        if self.providers.contains_key(name) {
            return refuse("the name is used twice");
        }
        let provider: Arc<dyn Provider> = match config.kind {
            ProviderKind::OpenAi if name == BUILT_IN => {
                return refuse("the name belongs to the built-in provider; choose another");
            }
            ProviderKind::OpenAi if config.rules.is_some() => {
                return refuse("rules belong to kind \"scripted\"");
            }
            ProviderKind::OpenAi => Arc::new(OpenAi::new(config)?),
            ProviderKind::Scripted => Arc::new(scripted(config)?),
        };
        self.providers.insert(name.clone(), provider);
        for model in &config.models {
            self.add(configured(name, model)?)?;
        }
        Ok(())
    }

    fn add(&mut self, model: Model) -> Result<(), Error> {
        let id = model.id.to_string();
        match self.fixed.insert(id.clone(), model) {
            None => Ok(()),
            Some(_) => Err(Error::Config(format!("the model id {id:?} is used twice"))),
        }
    }

    /// A model by its id, as an organisation sees it; the default for an empty one. The default is the
    /// operator's choice for everybody, also when it is a model that the operator registered.
    pub(crate) async fn get(&self, organization: &str, id: &str) -> Result<Model, Error> {
        let (organization, id) = if id.is_empty() {
            (DEFAULT_ORGANIZATION, self.default_model.as_str())
        } else {
            (organization, id)
        };
        if let Some(model) = self.fixed.get(id) {
            return Ok(model.clone());
        }
        if let Some(model) = self.store.model(organization, id).await? {
            return Ok(model);
        }
        self.named_by_provider(id).ok_or_else(|| Error::ModelNotFound { model: id.to_owned() })
    }

    /// `<provider>/<model there>`: known to nobody but the provider, so it has no price.
    fn named_by_provider(&self, id: &str) -> Option<Model> {
        let (provider, upstream) = id.split_once('/')?;
        let serves = self.providers.get(provider)?.serves_any_model();
        (serves && !upstream.is_empty()).then_some(())?;
        Some(Model {
            id: ModelId::parse(id)?,
            name: id.to_owned(),
            provider: provider.to_owned(),
            upstream: upstream.to_owned(),
            capabilities: vec![Capability::Chat, Capability::Embeddings],
            context_window: 0,
            prices: Prices::default(),
            source: Source::Config,
            create_time: None,
        })
    }

    /// A model that can do what is wanted, and who serves it.
    pub(crate) async fn serving(
        &self,
        organization: &str,
        id: &str,
        wanted: Capability,
    ) -> Result<Served, Error> {
        let model = self.get(organization, id).await?;
        if !model.capabilities.contains(&wanted) {
            return Err(Error::CapabilityMissing {
                model: model.id.to_string(),
                capability: wanted.as_str(),
            });
        }
        match self.providers.get(&model.provider) {
            Some(provider) => Ok(Served { provider: Arc::clone(provider), model }),
            None => {
                Err(Error::ProviderGone { model: model.id.to_string(), provider: model.provider })
            }
        }
    }

    /// Models after an id, in the order of their ids, at most one more than `size`.
    pub(crate) async fn list(
        &self,
        organization: &str,
        after: &str,
        provider: Option<&str>,
        source: Option<&str>,
        size: usize,
    ) -> Result<Vec<Model>, Error> {
        let most = size.min(MAX_LISTED) + 1;
        let wanted = |model: &&Model| {
            model.id.as_str() > after
                && provider.is_none_or(|provider| provider == model.provider)
                && source.is_none_or(|source| source == model.source.as_str())
        };
        let mut models: Vec<Model> = self.fixed.values().filter(wanted).cloned().collect();
        if source.is_none_or(|source| source == Source::Registered.as_str()) {
            // A model that was registered before the configuration took its id is hidden by that.
            let registered = self.store.models(organization, after, provider, most).await?;
            models.extend(
                registered.into_iter().filter(|model| !self.fixed.contains_key(model.id.as_str())),
            );
        }
        models.sort_by(|one, other| one.id.cmp(&other.id));
        models.truncate(most);
        Ok(models)
    }

    /// Keeps a model that a caller registers.
    pub(crate) async fn register(
        &self,
        organization: &str,
        model: &Model,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Inserted, Error> {
        if !self.providers.contains_key(&model.provider) {
            let known: Vec<&str> = self.providers.keys().map(String::as_str).collect();
            return Err(Error::ProviderUnknown {
                provider: model.provider.clone(),
                known: known.join(", "),
            });
        }
        if self.fixed.contains_key(model.id.as_str()) {
            return Err(Error::ModelExists { model: model.id.to_string() });
        }
        self.store.insert_model(organization, model, once, now).await
    }

    /// Deletes a registered model.
    pub(crate) async fn delete(&self, organization: &str, id: &str) -> Result<(), Error> {
        if self.fixed.contains_key(id) {
            return Err(Error::ModelConfigured { model: id.to_owned() });
        }
        match self.store.delete_model(organization, id).await? {
            true => Ok(()),
            false => Err(Error::ModelNotFound { model: id.to_owned() }),
        }
    }
}

fn scripted(config: &ProviderConfig) -> Result<Scripted, Error> {
    let Some(path) = &config.rules else { return Scripted::built_in() };
    let shown = path.display().to_string();
    let yaml = std::fs::read_to_string(path)
        .map_err(|source| Error::RulesFile { path: shown.clone(), source })?;
    Scripted::from_yaml(&shown, &yaml)
}

fn built_in(id: &str, name: &str, capability: Capability) -> Result<Model, Error> {
    Ok(Model {
        id: ModelId::parse(id).ok_or(Error::Damaged("a built-in model has a malformed id"))?,
        name: name.to_owned(),
        provider: BUILT_IN.to_owned(),
        upstream: id.to_owned(),
        capabilities: vec![capability],
        context_window: CONTEXT_WINDOW,
        prices: Prices::default(),
        source: Source::Builtin,
        create_time: None,
    })
}

fn configured(provider: &str, config: &ModelConfig) -> Result<Model, Error> {
    let refuse = |problem: &str| {
        Error::Config(format!("model {:?} of provider {provider:?}: {problem}", config.id))
    };
    let or_id = |text: &String| if text.is_empty() { config.id.clone() } else { text.clone() };
    let mut capabilities = Vec::new();
    for word in &config.capabilities {
        let capability = Capability::parse(word)
            .ok_or_else(|| refuse("capabilities are chat and embeddings"))?;
        if !capabilities.contains(&capability) {
            capabilities.push(capability);
        }
    }
    if capabilities.is_empty() {
        capabilities.push(Capability::Chat);
    }
    let price = |dollars: f64| {
        Prices::nanos(dollars).ok_or_else(|| refuse("prices are 0 to 1,000,000 dollars"))
    };
    Ok(Model {
        id: ModelId::parse(&config.id)
            .ok_or_else(|| refuse("id must have 1 to 128 characters of A-Z a-z 0-9 . _ : / -"))?,
        name: or_id(&config.name),
        provider: provider.to_owned(),
        upstream: or_id(&config.upstream_model),
        capabilities,
        context_window: config.context_window,
        prices: Prices {
            input: price(config.input_price_per_million)?,
            output: price(config.output_price_per_million)?,
        },
        source: Source::Config,
        create_time: None,
    })
}
