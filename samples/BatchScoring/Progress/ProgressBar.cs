using Spectre.Console;
using Spectre.Console.Rendering;

namespace BatchScoring.Progress;

/// <summary>A bar, for people.</summary>
internal sealed class ProgressBar(IAnsiConsole console) : IProgressDisplay
{
    public void Show(RateMeter meter, Action<Action> work) =>
        console.Progress()
            .Columns(new ProgressBarColumn(), new MeterColumn(meter))
            .Start(context =>
            {
                var task = context.AddTask("rows", maxValue: Math.Max(meter.Total, 1));
                work(() => task.Value = meter.Done);
            });

    private sealed class MeterColumn(RateMeter meter) : ProgressColumn
    {
        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) => new Text(meter.ToString());
    }
}
