//! The demo's documents, questions and people. `demo/README.md` says where they come from.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tamis_core::{Chunk, Request};

/// Numbers in an embedding of all-MiniLM-L6-v2.
const DIMENSIONS: usize = 384;
/// Embeddings are stored as bytes: a number times this, rounded.
const SCALE: f32 = 127.0;

const CHUNKS: &str = include_str!("../../../demo/corpus.jsonl");
const CHUNK_VECTORS: &[u8] = include_bytes!("../../../demo/corpus.i8");
const QUESTIONS: &str = include_str!("../../../demo/questions.jsonl");
const QUESTION_VECTORS: &[u8] = include_bytes!("../../../demo/questions.i8");
const PEOPLE: &str = include_str!("../../../demo/people.json");

/// Someone who asks.
pub(super) struct Person {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) request: Request,
    /// The request as a file for the other commands.
    pub(super) json: String,
}

/// A question with its embedding, or without one if the user typed it.
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) vector: Option<Vec<f32>>,
}

/// All chunks with their embeddings.
pub(super) fn chunks() -> Result<Vec<Chunk>> {
    let vectors = vectors(CHUNK_VECTORS);
    let chunks: Vec<Chunk> = CHUNKS.lines().map(Chunk::from_json).collect::<Result<_, _>>()?;
    if chunks.len() != vectors.len() {
        bail!("the demo has {} chunks and {} vectors", chunks.len(), vectors.len());
    }
    let with_vector = |(chunk, vector)| Chunk { vector: Some(vector), ..chunk };
    Ok(chunks.into_iter().zip(vectors).map(with_vector).collect())
}

/// The question by number, from 1, or in the user's own words.
pub(super) fn question(wanted: &str) -> Result<Asked> {
    #[derive(Deserialize)]
    struct Written {
        text: String,
    }

    let Ok(number) = wanted.parse::<usize>() else {
        return Ok(Asked { text: wanted.to_owned(), vector: None });
    };
    let position = number.checked_sub(1).context("questions are numbered from 1")?;
    let line = QUESTIONS.lines().nth(position);
    let line = line.with_context(|| format!("there are {} questions", QUESTIONS.lines().count()))?;
    let written: Written = tamis_core::input::parse(line)?;
    let vector = vectors(QUESTION_VECTORS).into_iter().nth(position);
    Ok(Asked { text: written.text, vector })
}

/// Everyone who asks.
pub(super) fn people() -> Result<Vec<Person>> {
    #[derive(Deserialize)]
    struct Written {
        name: String,
        about: String,
        request: serde_json::Value,
    }

    let people: Vec<Written> = tamis_core::input::parse(PEOPLE)?;
    let person = |Written { name, about, request }| {
        let json = serde_json::to_string_pretty(&request)?;
        Ok(Person { name, about, request: Request::from_json(&json)?, json })
    };
    people.into_iter().map(person).collect()
}

fn vectors(bytes: &[u8]) -> Vec<Vec<f32>> {
    let number = |byte: &u8| f32::from(i8::from_ne_bytes([*byte])) / SCALE;
    bytes.chunks_exact(DIMENSIONS).map(|row| row.iter().map(number).collect()).collect()
}
