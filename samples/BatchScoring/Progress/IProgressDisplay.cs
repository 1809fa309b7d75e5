namespace BatchScoring.Progress;

/// <summary>Shows a meter while work goes on.</summary>
internal interface IProgressDisplay
{
    /// <param name="meter">What to show.</param>
    /// <param name="work">The work; it calls its argument after each change of the meter.</param>
    void Show(RateMeter meter, Action<Action> work);
}

/// <summary>Shows nothing.</summary>
internal sealed class NoProgress : IProgressDisplay
{
    public void Show(RateMeter meter, Action<Action> work) => work(() => { });
}
