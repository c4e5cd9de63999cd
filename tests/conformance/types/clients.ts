// What the clients of Kayenta's API declare of its replies: Deck by the types that it publishes, Referee by what it reads.
//
// `replies.ts`, which the test writes, has a reply of the service for each type here; the compiler says whether it fits.

import type * as deck from './deck/build/dist/kayenta/domain';

/** A type as it is on the wire: an enum is one of its texts, and there may be keys that the client does not know. */
export type Wire<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Key in keyof T]: Wire<T[Key]> } & { [other: string]: unknown }
      : T;

// ---- Deck ----

// Deck's types name more than Kayenta sends: an `id` of an execution and of a metric, which Deck puts in itself, a `median`, and an
// exception's time as a text. They call a reason of a metric a text that is always there, where Kayenta leaves out an empty one, and do
// not know `NodataFailMetric`, with which Kayenta answers. What is left of each is what Deck reads of the wire.

type Metric = Omit<deck.ICanaryMetricConfig, 'id'>;
type Config = Omit<deck.ICanaryConfig, 'metrics'> & { metrics: Metric[] };
type Stats = Omit<deck.ICanaryAnalysisResultsStats, 'median'>;
type Result = Omit<
  deck.ICanaryAnalysisResult,
  'classification' | 'classificationReason' | 'controlMetadata' | 'experimentMetadata'
> & {
  classification: `${deck.MetricClassificationLabel}` | 'NodataFailMetric';
  classificationReason?: string;
  controlMetadata: { stats: Stats };
  experimentMetadata: { stats: Stats };
};
type JudgeResult = Omit<deck.ICanaryJudgeResult, 'results'> & { results: Result[] };
type Exception = Omit<deck.ICanaryExecutionException, 'timestamp'> & { timestamp: number };
type Execution = Omit<
  deck.ICanaryExecutionStatusResult,
  'id' | 'config' | 'result' | 'exception' | 'endTimeIso' | 'metricSetPairListId'
> & { config: Config };

export type DeckRunning = Wire<Execution & { complete: false; status: 'not_started' | 'running' }>;
export type DeckSucceeded = Wire<
  Execution & {
    complete: true;
    status: 'succeeded';
    result: { judgeResult: JudgeResult; canaryDuration?: string };
    endTimeIso: string;
    metricSetPairListId: string;
  }
>;
export type DeckFailed = Wire<
  Execution & { complete: true; status: 'terminal' | 'canceled'; exception: Exception; endTimeIso: string; result?: never }
>;
export type DeckExecutions = (DeckRunning | DeckSucceeded | DeckFailed)[];
export type DeckStarted = Wire<deck.ICanaryExecutionResponse>;
export type DeckConfig = Wire<Config>;
export type DeckConfigs = Wire<deck.ICanaryConfigSummary[]>;
export type DeckConfigUpdate = Wire<deck.ICanaryConfigUpdateResponse>;
export type DeckAccounts = Wire<deck.IKayentaAccount[]>;
export type DeckJudges = Wire<deck.IJudge[]>;
/** A point that is no number is a quoted text; Deck's type has none, and its graphs show `N/A`. */
export type DeckPairs = Wire<
  (Omit<deck.IMetricSetPair, 'values'> & {
    values: { control: (number | 'NaN' | 'Infinity' | '-Infinity')[]; experiment: (number | 'NaN' | 'Infinity' | '-Infinity')[] };
  })[]
>;

// ---- Referee ----

// Referee is published as a program alone. What it reads: numbers that it formats, statuses that it compares, ids that it joins.

interface RefereeStats {
  count: number;
  mean: number;
  min: number;
  max: number;
  std: number;
}
interface RefereeResult {
  name: string;
  id: string;
  tags: { [tag: string]: string };
  classification: 'Pass' | 'High' | 'Low' | 'Nodata' | 'NodataFailMetric' | 'Error';
  groups: string[];
  controlMetadata: { stats: RefereeStats };
  experimentMetadata: { stats: RefereeStats };
  resultMetadata?: { ratio?: number | string };
  critical: boolean;
  muted: boolean;
}
interface RefereeCanaryResult {
  judgeResult: {
    judgeName: string;
    score: { score: number; classification: string; classificationReason: string };
    groupScores: { name: string; score: number; classification: string; classificationReason: string }[];
    results: RefereeResult[];
  };
  canaryDuration?: string;
}
type Word = 'SUCCEEDED' | 'TERMINAL' | 'CANCELED' | 'RUNNING' | 'NOT_STARTED';
interface RefereeRun {
  executionId: string;
  executionStatus: Word;
  judgementStartTimeIso: string;
  judgementStartTimeMillis: number;
  judgementEndTimeIso: string;
  judgementEndTimeMillis: number;
  warnings: string[];
  exception?: { details: { errors: string[] } };
  result?: RefereeCanaryResult;
  metricSetPairListId?: string;
}
interface RefereeAnalysis {
  application: string;
  user: string;
  pipelineId: string;
  canaryConfigId: string;
  executionStatus: Word;
  status: string;
  stageStatus: {
    type: 'wait' | 'runCanary' | 'setupAndExecuteCanariesStage' | 'generateCanaryAnalysisResultStage';
    name: string;
    status: Word;
    executionId?: string;
  }[];
  canaryConfig: Config;
  canaryAnalysisExecutionRequest: {
    scopes: {
      scopeName: string;
      controlScope: string;
      controlLocation?: string;
      controlOffsetInMinutes: number;
      experimentScope: string;
      experimentLocation?: string;
      startTimeIso?: string;
      endTimeIso?: string;
      step: number;
      extendedScopeParams: { [name: string]: string };
    }[];
    thresholds: { pass: number; marginal: number };
    lifetimeDurationMins?: number;
    beginAfterMins: number;
    lookbackMins: number;
    analysisIntervalMins?: number;
    siteLocal?: { [key: string]: unknown };
  };
  buildTimeIso: string;
  startTimeIso: string;
  storageAccountName?: string;
  metricsAccountName: string;
}
interface RefereeAnalysisResult {
  didPassThresholds: boolean;
  hasWarnings: boolean;
  canaryScoreMessage: string;
  canaryScores: number[];
  canaryExecutionResults: RefereeRun[];
}

export type RefereeRunning = Wire<RefereeAnalysis & { complete: false; executionStatus: 'RUNNING'; canaryAnalysisExecutionResult?: never }>;
export type RefereeEnded = Wire<
  RefereeAnalysis & {
    complete: true;
    executionStatus: 'SUCCEEDED' | 'TERMINAL' | 'CANCELED';
    endTimeIso: string;
    canaryAnalysisExecutionResult: RefereeAnalysisResult;
  }
>;
export type RefereeExecution = Wire<{ complete: true; status: 'succeeded'; result: RefereeCanaryResult }>;

// ---- The types refuse what they should ----

declare const noStats: { count: number; mean: number; min: number };
// @ts-expect-error the maximum is missing
export const tooFew: Wire<RefereeStats> = noStats;
declare const other: { name: string; type: string; supportedTypes: 'JUDGE'[] };
// @ts-expect-error no account stores judges
export const noSuchStore: DeckAccounts = [other];
