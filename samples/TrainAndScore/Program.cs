using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Plots;
using Samples.Data;
using TrainAndScore;

// Scores product photos with a trained model. Then trains a small BiFormer on such photos, compares it with boosted trees, saves it, and
// scores a folder with it in a new process.
var clock = Stopwatch.StartNew();
var output = Path.GetFullPath(args is [var folder] ? folder : Path.Combine("artifacts", "TrainAndScore"));
var pictures = Path.Combine(output, "pictures");
var context = new MLContext(seed: 1);
var (train, test) = LabelledPicture.Unpack(context, pictures);

foreach (var (title, text) in TrainedModel.Card.Lines())
    Console.WriteLine($"  {title + ":",-14}{text}");
Say($"Trained model: {Evaluate(TrainedModel.Load(context, test)):P1} of {Rows(test)} test pictures right, without training");

Say("BiFormer: training");
var biFormer = SmallBiFormer.Train(context, train, new EpochLines(Say));
LossCurve.Save(biFormer.LastTransformer.Trace!, Path.Combine(output, "loss.png"));
var ours = Evaluate(biFormer);
Say($"BiFormer: {ours:P1} of {Rows(test)} test pictures right");

var modelFile = Path.Combine(output, "biformer.zip");
context.Model.Save(biFormer, train.Schema, modelFile);
Say($"BiFormer: saved to {modelFile}, {new FileInfo(modelFile).Length / 1e6:F1} MB; scoring a folder in a new process");
var scored = ScoredFolder.Score(modelFile, Path.Combine(pictures, "test"), Path.Combine(output, "scores"));
var inNewProcess = scored.Count(example => example.PredictedLabel == example.Label) / (double)scored.Count;
Say($"BiFormer: {inNewProcess:P1} of {scored.Count} rows read back from Parquet right");
ScoredExamples.Save([.. scored.Where((_, index) => index % (scored.Count / 40) == 0).Take(40)], Path.Combine(output, "examples.png"));

Say($"{BoostedTrees.Name}: training");
var theirs = Evaluate(BoostedTrees.On(context).Fit(train));
Say($"{BoostedTrees.Name}: {theirs:P1} right");
Say($"BiFormer {ours:P1}, {BoostedTrees.Name} {theirs:P1}; pictures and scores in {output}");
return ours > theirs && inNewProcess == ours ? 0 : 1;

double Evaluate(ITransformer model) => context.MulticlassClassification.Evaluate(model.Transform(test)).MicroAccuracy;

static int Rows(IDataView data) => (int)data.GetRowCount()!;

void Say(string message) => Console.WriteLine($"{clock.Elapsed:mm\\:ss} {message}");
