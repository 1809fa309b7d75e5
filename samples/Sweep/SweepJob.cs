using Microsoft.ML;
using Samples.Data;
using Spectre.Console;

namespace Sweep;

/// <summary>A sweep from the pictures to the saved pipeline of the best candidate.</summary>
internal static class SweepJob
{
    /// <summary>Writes <c>best.zip</c>, <c>trials.csv</c> and <c>sweep.png</c>.</summary>
    /// <exception cref="InvalidDataException">There are too few classes, or a picture is damaged.</exception>
    /// <exception cref="TimeoutException">Not one trial ended in time.</exception>
    /// <exception cref="InvalidOperationException">All trials failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static void Run(SweepOptions options, CancellationToken cancellation)
    {
        var output = Directory.CreateDirectory(options.Output).FullName;
        var pictures = PictureFile.Find(options.Data ?? UnpackSample(output));
        var context = new MLContext(options.Seed);
        var view = context.Data.LoadFromEnumerable(pictures);
        var trainer = new CandidateTrainer(context, view, options);

        var trials = Search(trainer, options, cancellation);
        TrialReport.Show(trials, AnsiConsole.Console);
        TrialReport.Save(trials, Path.Combine(output, "trials.csv"));
        SweepPlot.Save(trials, Path.Combine(output, "sweep.png"));

        var best = trials[0].Candidate;
        Console.WriteLine($"training candidate {best.Number} ({best.Architecture}) on all {pictures.Count} pictures");
        var model = trainer.Fit(best, options.Epochs, cancellation);
        context.Model.Save(model, view.Schema, Path.Combine(output, "best.zip"));
        Console.WriteLine($"best.zip, trials.csv and sweep.png are in {output}.");
    }

    private static IReadOnlyList<Trial> Search(CandidateTrainer trainer, SweepOptions options, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(options.Time);
        return new SuccessiveHalving(options.Reduction, options.FirstEpochs, options.Epochs)
            .Run(options.Space.Draw(options.CandidateCount, options.Seed), Evaluate);

        Trial? Evaluate(Candidate candidate, int epochs)
        {
            try
            {
                var trial = trainer.CrossValidate(candidate, epochs, deadline.Token);
                Console.WriteLine(TrialReport.Line(trial));
                return trial;
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                return null;
            }
        }
    }

    private static string UnpackSample(string output)
    {
        var pictures = Path.Combine(output, "pictures");
        ContactSheets.Unpack(Path.Combine(AppContext.BaseDirectory, "fashion-mnist"), pictures);
        return Path.Combine(pictures, "train");
    }
}
